"""What several views share: words of a text, the syntax of a program."""
