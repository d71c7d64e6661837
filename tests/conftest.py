pytest_plugins = ["emulated", "expected_skips", "temporary_files"]
