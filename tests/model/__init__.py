"""The whole product against a simple model, driven by Hypothesis.

A package, so that its modules can import each other: `oracle` is the model, `world` a project and
what is to be found in it, the rules drive both.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{one}" for one in ("world", "rules", "registry_rules"))
)
