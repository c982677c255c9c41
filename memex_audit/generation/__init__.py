"""Pictures from prompts: seeds, the diffusers adapter, the store of what was drawn, and its filling."""
