pytest_plugins = ["expected_skips", "temporary_files"]
