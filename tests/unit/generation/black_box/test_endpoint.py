"""Which endpoint an address names."""

import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.generation.black_box.endpoint import parse_endpoint


def test_an_address_names_host_model_and_what_is_sent():
    endpoint = parse_endpoint(
        "https://api.example.org:8443/v1/?model=pictor-3&n=4&style=vivid", size=(32, 64)
    )
    assert endpoint.images_url == "https://api.example.org:8443/v1/images/generations"
    assert (endpoint.host, endpoint.model, endpoint.n) == ("api.example.org:8443", "pictor-3", 4)
    assert endpoint.options == {"size": "64x32", "style": "vivid"}
    assert endpoint.response_format == "b64_json"
    assert not endpoint.is_local


def test_with_seeds_each_request_is_for_one_picture():
    assert parse_endpoint("https://h/v1?model=m&n=4&seed=1").n == 1


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:80", "[::1]:8000", "[::1]"])
def test_this_machine_may_be_asked_over_http(host):
    assert parse_endpoint(f"http://{host}/v1?model=m").is_local


def test_address_and_model_are_the_fingerprint_and_what_is_sent_is_not():
    one, same = parse_endpoint("https://h/v1?model=m"), parse_endpoint("https://h/v1/?model=m&size=8x8")
    others = [parse_endpoint("https://h/v1?model=n"), parse_endpoint("https://h/v2?model=m")]
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint not in {other.fingerprint for other in others}


REFUSED = {
    "http://api.example.org/v1?model=m": "must be asked over https, got http for api.example.org: prompts",
    "http://localhost.example.org/v1?model=m": "must be asked over https, got http for localhost.example.org",
    "ftp://h/v1?model=m": "got an address without https:// or host",
    "https:///v1?model=m": "got an address without https:// or host",
    "https://h/v1": "must name its model, got https://h/v1; write",
    "https://h/v1?model=": "must name its model",
    "https://h/v1?model=m&modle=x": "takes no field 'modle'; did you mean model?",
    "https://h/v1?model=m&api_key=x": "takes no field 'api_key'; use one of model, n",
    "https://h/v1?model=m&n=0": "must be in 1 to 10, got '0'",
    "https://h/v1?model=m&n=x": "must be in 1 to 10, got 'x'",
    "https://h/v1?model=m&seed=yes": "seed must be one of 0, 1, got 'yes'",
    "https://h/v1?model=m&response_format=png": "must be one of b64_json, url, none, got 'png'",
}


@pytest.mark.parametrize("address", REFUSED)
def test_another_address_is_refused_with_what_it_must_be(address):
    with pytest.raises(ConfigurationError) as raised:
        parse_endpoint(address)
    assert REFUSED[address] in str(raised.value)


def test_a_key_in_the_address_is_refused_and_not_shown():
    with pytest.raises(ConfigurationError, match="must have no user or key in its address") as raised:
        parse_endpoint("https://me:sk-secret@h/v1?model=m")
    assert "sk-secret" not in str(raised.value)
