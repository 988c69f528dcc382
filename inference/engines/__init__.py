"""What runs a model: decoder (chat), seq2seq (translation). One engine belongs to one loaded model and one thread."""
