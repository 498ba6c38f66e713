# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares manifests with the API's own description, as the Kubernetes project's Python client has it.

The API server for tests serves no DaemonSets, and a cluster is not at hand: this is what `kubectl apply`
would find wrong, unknown fields included, apart from the server's own rules for values.
"""
import re

import pytest

SCALARS = {"str": str, "int": int, "bool": bool, "object": (str, int)}  # object: int or string


def check(kind, value, where=""):
    """'kind' is a type in the words of the client: V1Pod, list[str], dict(str, str), int ..."""
    models = pytest.importorskip("kubernetes.client.models")
    container = re.fullmatch(r"(list|dict)[\[(](?:str, )?(\w+)[\])]", kind)
    if container and container[1] == "list":
        assert isinstance(value, list), where
        for i, item in enumerate(value):
            check(container[2], item, f"{where}[{i}]")
    elif container:
        assert isinstance(value, dict), where
        for key, item in value.items():
            check(container[2], item, f"{where}.{key}")
    elif kind in SCALARS:
        assert isinstance(value, SCALARS[kind]), f"{where} is no {kind}"
    else:
        check_object(getattr(models, kind), value, where)


def check_object(model, value, where):
    assert isinstance(value, dict), where
    names = {field: name for name, field in model.attribute_map.items()}
    for field, item in value.items():
        assert field in names, f"{where}.{field} is unknown"
        check(model.openapi_types[names[field]], item, f"{where}.{field}")
    # Its constructor complains about what is required and missing.
    model(**{names[field]: item for field, item in value.items()})
