"""Everything that training needs: cached windows, augmentation, losses, the loop, checkpoints."""
