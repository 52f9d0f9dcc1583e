"""The networks: neural tokenizer, language model, and what turns logits into answers."""
