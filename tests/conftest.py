pytest_plugins = ["expected_skips"]
