"""Extracted prompts -> the words that give the image back; known prompts -> others that are like them."""
