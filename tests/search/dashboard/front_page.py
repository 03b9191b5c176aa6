"""The figure of the front on an open page: its groups, their trials, and waiting for it."""

POINTS = """name => {
    const drawn = document.querySelector("#front-figure .js-plotly-plot");
    const trace = drawn?._fullData?.find(each => (each.name || "").startsWith(name));
    return trace ? trace.x.length : 0;
}"""
# The numbers of the trials that are drawn as one group, in order.
NUMBERS = """name => {
    const drawn = document.querySelector("#front-figure .js-plotly-plot");
    const traces = (drawn?._fullData || []).filter(each => (each.name || "").startsWith(name));
    return traces.flatMap(each => [...(each.customdata || [])]).sort((one, other) => one - other);
}"""
DRAWN = "document.querySelector('#front-figure .js-plotly-plot')"


def wait_for_front(page):
    page.wait_for_selector("#front-figure .scatterlayer .point", state="attached")
