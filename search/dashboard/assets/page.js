// Client-side callbacks and components: routing, controls in the URL, polling for changes, lazy components.
(() => {
  const noUpdate = () => window.dash_clientside.no_update;

  // Same as search.dashboard.address.query_string.
  function queryString(query) {
    const quoted = (text) => encodeURIComponent(text).replace(/%3A/g, ":").replace(/%2C/g, ",");
    const parts = Object.entries(query).filter(([, value]) => value !== "" && value != null);
    return parts.length ? "?" + parts.map(([name, value]) => `${encodeURIComponent(name)}=${quoted(value)}`).join("&") : "";
  }

  function parseQuery(search) {
    return Object.fromEntries(new URLSearchParams(search));
  }

  function navigate(path) {
    if (path !== location.pathname + location.search) {
      history.pushState({}, "", path);
    }
    window.dispatchEvent(new PopStateEvent("popstate"));
    window.scrollTo(0, 0);
  }

  // Successive changes of one control are one entry of the history.
  let lastControl = null;
  function writeUrl(path, search, control) {
    const name = control === lastControl ? "replaceState" : "pushState";
    lastControl = control;
    history[name]({}, "", path + search);
    addBrushToTabs(parseQuery(search).brush || "");
  }

  // Adds the filter of the trials to the links of the study's other views.
  function addBrushToTabs(brush) {
    for (const tab of document.querySelectorAll("#tabs a[data-study]")) {
      tab.setAttribute("href", tab.pathname + queryString({ brush }));
    }
  }

  // Saves a figure as PNG, at twice the resolution of the screen.
  function saveFigure(button) {
    const drawn = document.querySelector(`#${button.dataset.save} .js-plotly-plot`);
    const filename = [document.querySelector("h1").textContent, button.dataset.save].join("-").replace(/[^\w.-]+/g, "_");
    if (!drawn) {
      return;
    }
    const { offsetWidth: width, offsetHeight: height } = drawn;
    window.Plotly.downloadImage(drawn, { format: "png", scale: 2, filename, width, height });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("button[data-save]");
    if (button) {
      saveFigure(button);
      return;
    }
    const anchor = event.target.closest && event.target.closest("a[href]");
    const isPlain = !event.defaultPrevented && event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
    if (!anchor || !isPlain || anchor.origin !== location.origin || anchor.target || anchor.hasAttribute("download")) {
      return;
    }
    if (anchor.getAttribute("href").startsWith("#")) {
      return;
    }
    event.preventDefault();
    navigate(anchor.pathname + anchor.search);
  });
  window.addEventListener("popstate", () => {
    lastControl = null;
  });

  function updateTheme(_, kept) {
    const clicked = window.dash_clientside.callback_context.triggered_id === "theme-button" && _;
    let name = kept || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    if (clicked) {
      name = name === "dark" ? "light" : "dark";
    }
    document.documentElement.dataset.theme = name;
    return name;
  }

  // Scripts that Dash would load only when they are needed, one after the other.
  const SUITE = "/_dash-component-suites/dash/dcc/async-";
  const CONTROLS = ["slider", "dropdown"]; // of the front view only
  const loading = {};
  function loadScript(src) {
    loading[src] ??= new Promise((resolve, reject) => {
      document.head.append(Object.assign(document.createElement("script"), { src, onload: resolve, onerror: reject }));
    });
    return loading[src];
  }

  function loadPlotly() {
    // by default Plotly renders WebGL at twice the device pixel ratio, with or without a GPU
    loadScript(document.querySelector("link[rel=preload][as=script]").href).then(() =>
      window.Plotly.setPlotConfig({ plotGlPixelRatio: Math.max(1, devicePixelRatio) }),
    );
    loadScript(`${SUITE}graph.js`);
  }
  function loadControls() {
    CONTROLS.forEach((name) => loadScript(`${SUITE}${name}.js`));
  }

  const IDLE_DELAY_MS = 1500; // from opening a view to loading what is not visible
  const ROOT_MARGIN = "5%"; // of the IntersectionObserver, of the height of the screen
  const isView = (view) => location.pathname.endsWith(`/${view}`);

  // AG Grid is large, and used by one view only.
  function loadGrid() {
    return loadScript(document.querySelector("meta[name=grid]").content);
  }

  // Opens a view, unless the controls of the open view have changed the URL.
  let openedUrl = null;
  async function openView(path, search, name) {
    if (!name) {
      return noUpdate();
    }
    const requested = `${name} ${location.pathname}${location.search}`;
    if (requested === openedUrl) {
      return noUpdate();
    }
    if (!openedUrl) {
      setTimeout(loadPlotly, location.pathname === "/" || isView("trials") ? IDLE_DELAY_MS : 0);
      setTimeout(loadControls, isView("front") ? 0 : IDLE_DELAY_MS);
    }
    openedUrl = requested;
    idleQueue = new Promise((resolve) => setTimeout(resolve, IDLE_DELAY_MS));
    document.getElementById("page").setAttribute("aria-busy", "true");
    if (isView("trials")) {
      await loadGrid();
    }
    return { path: location.pathname, search: location.search, theme: name };
  }

  function text(value) {
    return Array.isArray(value) ? value.join(",") : value == null ? "" : String(value);
  }

  // One request at a time: while one is pending, only the last position of a dragged slider is kept.
  let lastResponse = Promise.resolve();
  const nativeFetch = window.fetch;
  window.fetch = (...request) => {
    const response = nativeFetch(...request);
    if (String(request[0]).includes("/_dash-update-component")) {
      lastResponse = response.then(() => {}, () => {});
    }
    return response;
  };

  // Returns the state of the controls, and writes it to the URL.
  async function updateControls(values, limits, query) {
    const context = window.dash_clientside.callback_context;
    const [controls, sliders] = context.inputs_list;
    const chosen = { ...query.kept };
    controls.forEach((control, place) => {
      const name = control.id.choice;
      const value = text(values[place]);
      chosen[name] = value === query.defaults[name] ? "" : value;
    });
    const tighter = sliders
      .map((slider, place) => [slider.id.limit, limits[place], query.limits[slider.id.limit]])
      .filter(([, value, most]) => value != null && value < most)
      .map(([name, value]) => `${name}:${Math.max(1, Math.round(value))}`);
    if (sliders.length) {
      chosen.budget = tighter.join(",");
    }
    const search = queryString(chosen);
    const requested = `${query.theme} ${query.path}${search}`;
    if (search === query.search && requested === openedUrl) {
      return noUpdate();
    }
    const isFirst = !context.triggered.length;
    const control = isFirst ? lastControl : JSON.stringify(context.triggered_id);
    writeUrl(query.path, search, control);
    openedUrl = requested;
    await lastResponse;
    return openedUrl === requested ? { ...query, search } : noUpdate();
  }

  // Parallel coordinates: Plotly snaps brushes to the ticks of an axis with tick texts; only categorical axes need it.
  document.addEventListener(
    "mousedown",
    (event) => {
      const brush = event.target.closest && event.target.closest("#search-parallel .axis-brush");
      const axis = brush && brush.__data__;
      if (axis) {
        const [{ dimensions, meta }] = document.querySelector("#search-parallel .js-plotly-plot").data;
        axis.ordinal = meta.categorical.includes(dimensions[axis.visibleIndex].name);
      }
    },
    true,
  );

  // Writes the brushed ranges to the URL, by column.
  function updateBrush(_, query) {
    const drawn = document.querySelector("#search-parallel .js-plotly-plot");
    if (!_ || !drawn || !drawn.data.length) {
      return noUpdate();
    }
    const { log = [], categorical = [] } = drawn.data[0].meta || {};
    const ranges = [];
    for (const axis of drawn.data[0].dimensions) {
      const kept = axis.constraintrange;
      if (kept && axis.name) {
        for (const [low, high] of Array.isArray(kept[0]) ? kept : [kept]) {
          let ends = log.includes(axis.name) ? [10 ** low, 10 ** high] : [low, high];
          if (categorical.includes(axis.name) && Math.ceil(low) <= Math.floor(high)) {
            ends = [Math.ceil(low), Math.floor(high)];
          }
          ranges.push([axis.name, ...ends.map((end) => Number(end.toPrecision(6)))].join(":"));
        }
      }
    }
    const search = queryString({ ...parseQuery(query.search), brush: ranges.join(",") });
    if (search === query.search) {
      return noUpdate();
    }
    writeUrl(query.path, search, "brush");
    openedUrl = `${query.theme} ${query.path}${search}`;
    return { ...query, search, kept: { ...query.kept, brush: ranges.join(",") } };
  }

  // Converts the columns of search.dashboard.views.trials.rows to rows of the grid.
  function gridRows({ fields, columns }) {
    const rows = (columns[0] || []).map(() => ({}));
    fields.forEach((field, place) => columns[place].forEach((value, row) => (rows[row][field] = value)));
    return rows;
  }

  // Opens the trial of a clicked point.
  function openClickedTrial(click, query) {
    const point = click && click.points && click.points[0];
    const drawn = document.querySelector("#front-figure .js-plotly-plot");
    if (!point || !drawn) {
      return noUpdate();
    }
    // for typed arrays Dash passes only the index of the point
    const data = point.customdata ?? drawn._fullData[point.curveNumber].customdata?.[point.pointNumber];
    const number = Array.isArray(data) ? data[0] : data;
    if (Number.isInteger(number)) {
      const study = query.path.split("/")[1];
      navigate(`/${study}/trial/${number}` + queryString({ brush: parseQuery(query.search).brush }));
    }
    return noUpdate();
  }

  // Stores the zoomed ranges; Plotly itself keeps them only while the figure's own ranges stay the same.
  function storeZoom(change, kept) {
    const drawn = document.querySelector("#front-figure .js-plotly-plot");
    if (!change || !drawn || !drawn.layout) {
      return noUpdate();
    }
    const revision = drawn.layout.uirevision;
    const ranges = kept && kept.revision === revision ? { ...kept.ranges } : {};
    for (const axis of ["xaxis", "yaxis"]) {
      if (change[`${axis}.range[0]`] !== undefined) {
        ranges[axis] = [change[`${axis}.range[0]`], change[`${axis}.range[1]`]];
      } else if (change[`${axis}.range`]) {
        ranges[axis] = change[`${axis}.range`];
      } else if (change[`${axis}.autorange`]) {
        delete ranges[axis];
      }
    }
    return { revision, ranges };
  }

  // Sets the sliders to an edition's limits, and to their maximum where it has none or a looser one.
  function setLimits(clicks, most, editions) {
    const context = window.dash_clientside.callback_context;
    if (!context.triggered_id || !clicks.some(Boolean)) {
      return most.map(noUpdate);
    }
    const limits = editions[context.triggered_id.edition] || {};
    return context.outputs_list.map((slider, place) => Math.min(limits[slider.id.limit] ?? most[place], most[place]));
  }

  function openRow(cell, query) {
    if (cell && cell.rowId != null && cell.colId !== "ag-Grid-SelectionColumn") {
      navigate(`/${query.path.split("/")[1]}/trial/${cell.rowId}` + queryString({ brush: parseQuery(query.search).brush }));
    }
    return noUpdate();
  }

  function compareSelected(rows, query) {
    const numbers = (rows || []).map((row) => row.number).slice(0, 4);
    const study = query.path.split("/")[1];
    const address = `/${study}/compare` + queryString({ trials: numbers.join(","), brush: parseQuery(query.search).brush });
    const label = numbers.length < 2 ? "Choose two to four trials to compare" : `Compare ${numbers.join(", ")}`;
    return [address, label, numbers.length < 2 ? "button off" : "button"];
  }

  // Polls whether the study has changed.
  async function pollVersion(_, version, query) {
    if (document.hidden || !query || !query.defaults) {
      return noUpdate(); // no view is open yet
    }
    const banner = document.getElementById("away");
    try {
      const response = await fetch(`/_version?${new URLSearchParams({ path: query.path, search: query.search, seen: version })}`);
      banner.hidden = true;
      if (response.status === 200 && document.querySelector("main.missing")) {
        location.reload(); // the missing study may exist now
      }
      return response.status === 200 ? await response.text() : noUpdate();
    } catch {
      banner.hidden = false;
      return noUpdate();
    }
  }

  // Adds the accessible names that Dash's sliders lack.
  function labelSliders() {
    for (const slider of document.querySelectorAll(".slider")) {
      const text = slider.querySelector("label").textContent;
      for (const part of slider.querySelectorAll("[role=slider], input")) {
        part.setAttribute("aria-label", text);
      }
    }
  }
  new MutationObserver(labelSliders).observe(document.documentElement, { childList: true, subtree: true });

  function finishRender(_, title) {
    const page = document.getElementById("page");
    page.removeAttribute("aria-busy");
    document.title = title || "SceneFront";
    addBrushToTabs(parseQuery(location.search).brush || "");
    labelSliders();
    return noUpdate();
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    scenefront: {
      updateTheme, openView, updateControls, updateBrush, gridRows, openClickedTrial, storeZoom, setLimits, openRow,
      compareSelected, pollVersion, finishRender,
    },
  });

  // Renders the output of search.dashboard.components.serialize.
  function toReact(node) {
    return typeof node === "string" ? node : window.React.createElement(node[0], node[1], ...node[2].map(toReact));
  }

  // See search.dashboard.components. When the browser is idle, placeholders are filled one by one.
  const idle = window.requestIdleCallback || ((act) => setTimeout(act, 100));
  let idleQueue = Promise.resolve();
  function LazyComponent({ children, name, style, isHeavy }) {
    const { createElement, useEffect, useRef, useState } = window.React;
    const place = useRef(null);
    const [rendered, render] = useState(null);
    useEffect(() => {
      const near = new IntersectionObserver((all) => all.some((each) => each.isIntersecting) && render(name), { rootMargin: ROOT_MARGIN });
      near.observe(place.current);
      let isGone = false;
      if (!isHeavy) {
        idleQueue = idleQueue.then(() => new Promise((resolve) => (isGone ? resolve() : idle(() => resolve(isGone || render(name))))));
      }
      return () => {
        isGone = true;
        near.disconnect();
      };
    }, [name]);
    return createElement("div", { ref: place, className: "lazy", style }, rendered === name ? children : null);
  }
  window.scenefront = { StaticComponent: ({ element }) => toReact(element), LazyComponent };

  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  cells.TrialLink = (cell) =>
    window.React.createElement("a", { href: cell.context ? `${cell.context.base}/${cell.value}` : `../trial/${cell.value}` }, cell.value);
})();
