"""Which requests are served: those of this machine's own page, and no others."""

import http.client
import json
import socket
from urllib.parse import quote, urlsplit

import pytest
from small_study import ODD

from search.dashboard.serving import free_port, is_free

JSON = "application/json"


@pytest.fixture
def send(served):
    """Send a request with these headers and no others; return the response and its text."""
    port = urlsplit(served[0]).port

    def go(method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        all_headers = {
            "Host": f"127.0.0.1:{port}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        all_headers = {name: value.format(port=port) for name, value in all_headers.items()}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in all_headers.items():
            connection.putheader(name, value)
        sent = (body or "").encode()
        if body is not None:
            connection.putheader("Content-Length", str(len(sent)))
        connection.endheaders(sent or None)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response, text

    return go


def export_request(study):
    """Return the request of a click on the button that exports a trial."""
    return json.dumps(
        {
            "output": "trial-take.children@whatever",
            "outputs": {"id": "trial-take", "property": "children"},
            "inputs": [{"id": "trial-export", "property": "n_clicks", "value": 1}],
            "changedPropIds": ["trial-export.n_clicks"],
            "state": [
                {"id": "query", "property": "data", "value": {"path": f"/{study}/trial/0", "search": "", "theme": ""}}
            ],
        }
    )


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}"])
def test_this_machine_is_served_by_either_name(send, host):
    response, text = send("GET", "/small/front", Host=host)
    assert response.status == 200
    assert "SceneFront" in text


@pytest.mark.parametrize(
    "host", ["evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", "[::1]:{port}", ""]
)
@pytest.mark.parametrize("path", ["/", "/_dash-layout", "/_version", "/_csv/small/trials.csv", "/_assets/page.js"])
def test_another_name_is_refused_whatever_it_requests(send, host, path):
    assert send("GET", path, Host=host)[0].status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": JSON},
        {"Content_Type": JSON, "Origin": "http://evil.example"},
        {"Content_Type": JSON, "Origin": "null"},
        {"Content_Type": JSON, "Origin": "https://127.0.0.1:{port}"},
        {"Content_Type": JSON, "Origin": "http://127.0.0.1:1"},
        {"Content_Type": JSON, "Origin": "http://localhost:{port}"},  # of a page that came by the other name
        {"Content_Type": "text/plain", "Origin": "http://evil.example"},
        {"Content_Type": "text/plain", "Origin": "http://127.0.0.1:{port}"},
        {"Content_Type": "application/x-www-form-urlencoded", "Origin": "http://evil.example"},
        {},
    ],
)
def test_another_page_starts_no_export(send, served, headers):
    response, _ = send("POST", "/_dash-update-component", export_request("small"), **headers)
    assert response.status == 403
    folder = served[1].studies.folder("small")
    assert served[1].exports.find(folder, 0) is None


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_no_other_method_is_known(send, method):
    assert send(method, "/_dash-update-component", "{}", Origin="http://127.0.0.1:{port}")[0].status in (403, 405)


def test_no_other_page_may_read_or_frame_a_response(send):
    response, _ = send("GET", "/_csv/small/trials.csv", Origin="http://evil.example")
    assert response.getheader("Access-Control-Allow-Origin") is None
    assert response.getheader("Cross-Origin-Resource-Policy") == "same-origin"
    policy = response.getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy.replace("'", "")


@pytest.mark.parametrize(
    "study", ["..%2Fsecret%2Fstudy", "..", "%2e%2e", "../secret/study", "small%2F..%2F..%2Fsecret%2Fstudy", "small%00"]
)
def test_no_path_leaves_the_results_folder(send, study):
    assert "isotropic" in send("GET", "/_csv/small/trials.csv")[1]
    for path in (f"/_csv/{study}/trials.csv", f"/_assets/{study}/search.yaml", f"/_version?path=/{study}/front"):
        assert "isotropic" not in send("GET", path)[1]


def test_a_study_that_is_not_listed_is_not_read(served):
    app_state = served[1]
    for name in ("../secret/study", "..", ".", "", "/", str(app_state.studies.results / "small"), "small/../small"):
        assert app_state.studies.read(name) is None


def test_tables_come_as_csv(send):
    response, text = send("GET", f"/_csv/{quote(ODD)}/trials.csv")
    assert response.status == 200
    assert response.getheader("Content-Type").startswith("text/csv")
    assert len(text.splitlines()) == 1 + 12
    _, front = send("GET", f"/_csv/{quote(ODD)}/front.csv")
    assert [line.partition(",")[0] for line in front.splitlines()] == ["number", "1", "2", "0"]


def test_it_listens_on_the_loopback_alone(served):
    port = urlsplit(served[0]).port
    with socket.socket() as elsewhere:  # 127.0.0.2 is this machine, too, but another address
        elsewhere.settimeout(2)
        assert elsewhere.connect_ex(("127.0.0.2", port)) != 0


def test_a_port_that_is_taken_is_passed_over():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not is_free(port)
        assert free_port(port) > port


def test_an_unchanged_study_is_an_empty_response(send):
    _, version = send("GET", "/_version?path=/small/front")
    response, text = send("GET", f"/_version?path=/small/front&seen={quote(version)}")
    assert (response.status, text) == (204, "")
