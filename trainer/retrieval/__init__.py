"""Sentence retrieval without training: vectors of sentences, exact search, mining of pairs, and their scores."""
