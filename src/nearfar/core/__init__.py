"""The nouns every other folder speaks of: rows, blocks, relations, rules, terms, cards, recipes, models, errors."""
