"""What several ways to generate share and nothing else needs: the loop of tokens, the beginnings of texts."""
