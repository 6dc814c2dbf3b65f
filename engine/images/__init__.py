"""Pictures in and out: opening strangers' files, recipes, saving, previews."""
