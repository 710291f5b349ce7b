"""What several encoders share and nothing else needs: tokenizers, architectures of `transformers`, preprocessing."""
