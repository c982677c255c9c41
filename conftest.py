"""For audits/ and tests/ alike: `pytester` must be named in the topmost conftest."""

pytest_plugins = ["pytester"]
