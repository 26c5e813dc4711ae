"""From images and marks to patch shards: which windows to cut, and cutting them."""
