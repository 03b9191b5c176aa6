"""Static components: serialized as they are, and nothing but plain elements in them."""

import pytest
from dash import dcc, html

from search.dashboard.components import StaticComponent, serialize
from search.dashboard.widgets import show
from search.report.table import Table


def test_an_element_is_its_name_its_attributes_and_its_children():
    element = html.Tr([html.Th("a", scope="row"), html.Td(html.A(3, href="/x")), html.Td()], **{"aria-label": "row"})
    assert serialize(element) == [
        "tr",
        {"aria-label": "row"},
        [["th", {"scope": "row"}, ["a"]], ["td", {}, [["a", {"href": "/x"}, ["3"]]]], ["td", {}, []]],
    ]


@pytest.mark.parametrize("moving", [html.Div(id="named"), html.Td(dcc.Markdown("text"))])
def test_what_is_more_than_an_element_is_refused(moving):
    with pytest.raises(TypeError, match=r"only elements of dash\.html without an id can be static"):
        StaticComponent(html.Div([moving]))


def test_a_table_is_one_element_whose_texts_are_texts():
    drawn = show(Table("A table", ("a", "b"), [["<b>", html.A("x", href="/x")]])).children
    assert isinstance(drawn, StaticComponent)
    head, body = drawn.element[2]
    assert head == ["thead", {}, [["tr", {}, [["th", {"scope": "col", "className": ""}, [name]] for name in "ab"]]]]
    assert body[2][0][2][0] == ["th", {"scope": "row", "className": ""}, ["<b>"]]
