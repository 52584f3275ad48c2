"""What stands between a run and the Hub: approval, verification, the exact files, upload and proof."""
