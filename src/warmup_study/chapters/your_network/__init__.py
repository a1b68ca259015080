"""The notebook `your_network`: whether, when and how long to warm up, answered for one network of the reader's own."""
