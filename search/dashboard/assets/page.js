// Client-side callbacks and components: routing, controls in the URL, polling for changes, lazy components.
(() => {
  const no = () => window.dash_clientside.no_update;

  // Same as search.dashboard.address.query_string.
  function queryString(query) {
    const quoted = (text) => encodeURIComponent(text).replace(/%3A/g, ":").replace(/%2C/g, ",");
    const parts = Object.entries(query).filter(([, value]) => value !== "" && value != null);
    return parts.length ? "?" + parts.map(([name, value]) => `${encodeURIComponent(name)}=${quoted(value)}`).join("&") : "";
  }

  function read(search) {
    return Object.fromEntries(new URLSearchParams(search));
  }

  function go(path) {
    if (path !== location.pathname + location.search) {
      history.pushState({}, "", path);
    }
    window.dispatchEvent(new PopStateEvent("popstate"));
    window.scrollTo(0, 0);
  }

  // Successive changes of one control are one entry of the history.
  let lastControl = null;
  function remember(path, search, control) {
    const name = control === lastControl ? "replaceState" : "pushState";
    lastControl = control;
    history[name]({}, "", path + search);
    carry(read(search).brush || "");
  }

  // Adds the filter of the trials to the links of the study's other views.
  function carry(brush) {
    for (const tab of document.querySelectorAll("#tabs a[data-study]")) {
      tab.setAttribute("href", tab.pathname + queryString({ brush }));
    }
  }

  // Saves a figure as PNG, at twice the resolution of the screen.
  function save(button) {
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
      save(button);
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
    go(anchor.pathname + anchor.search);
  });
  window.addEventListener("popstate", () => {
    lastControl = null;
  });

  function theme(_, kept) {
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
  const reading = {};
  function readScript(src) {
    reading[src] ??= new Promise((resolve, reject) => {
      document.head.append(Object.assign(document.createElement("script"), { src, onload: resolve, onerror: reject }));
    });
    return reading[src];
  }

  function readDrawing() {
    // by default Plotly renders WebGL at twice the device pixel ratio, with or without a GPU
    readScript(document.querySelector("link[rel=preload][as=script]").href).then(() =>
      window.Plotly.setPlotConfig({ plotGlPixelRatio: Math.max(1, devicePixelRatio) }),
    );
    readScript(`${SUITE}graph.js`);
  }
  function readControls() {
    CONTROLS.forEach((name) => readScript(`${SUITE}${name}.js`));
  }

  const CALM_MS = 1500; // from opening a view to loading what is not visible
  const NEAR = "5%"; // root margin, of the height of the screen
  const isOf = (view) => location.pathname.endsWith(`/${view}`);

  // AG Grid is large, and used by one view only.
  function readGrid() {
    return readScript(document.querySelector("meta[name=grid]").content);
  }

  // Opens a view, unless the controls of the open view have changed the URL.
  let opened = null;
  async function open(path, search, name) {
    if (!name) {
      return no();
    }
    const requested = `${name} ${location.pathname}${location.search}`;
    if (requested === opened) {
      return no();
    }
    if (!opened) {
      setTimeout(readDrawing, location.pathname === "/" || isOf("trials") ? CALM_MS : 0);
      setTimeout(readControls, isOf("front") ? 0 : CALM_MS);
    }
    opened = requested;
    calm = new Promise((go) => setTimeout(go, CALM_MS));
    document.getElementById("page").setAttribute("aria-busy", "true");
    if (isOf("trials")) {
      await readGrid();
    }
    return { path: location.pathname, search: location.search, theme: name };
  }

  function text(value) {
    return Array.isArray(value) ? value.join(",") : value == null ? "" : String(value);
  }

  // One request at a time: while one is pending, only the last position of a dragged slider is kept.
  let answered = Promise.resolve();
  const ask = window.fetch;
  window.fetch = (...request) => {
    const answer = ask(...request);
    if (String(request[0]).includes("/_dash-update-component")) {
      answered = answer.then(() => {}, () => {});
    }
    return answer;
  };

  // Returns the state of the controls, and writes it to the URL.
  async function choose(values, limits, query) {
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
    if (search === query.search && requested === opened) {
      return no();
    }
    const isFirst = !context.triggered.length;
    const control = isFirst ? lastControl : JSON.stringify(context.triggered_id);
    remember(query.path, search, control);
    opened = requested;
    await answered;
    return opened === requested ? { ...query, search } : no();
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
  function brush(_, query) {
    const drawn = document.querySelector("#search-parallel .js-plotly-plot");
    if (!_ || !drawn || !drawn.data.length) {
      return no();
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
    const search = queryString({ ...read(query.search), brush: ranges.join(",") });
    if (search === query.search) {
      return no();
    }
    remember(query.path, search, "brush");
    opened = `${query.theme} ${query.path}${search}`;
    return { ...query, search, kept: { ...query.kept, brush: ranges.join(",") } };
  }

  // Converts the columns of search.dashboard.views.trials.rows to rows of the grid.
  function fill({ fields, columns }) {
    const rows = (columns[0] || []).map(() => ({}));
    fields.forEach((field, place) => columns[place].forEach((value, row) => (rows[row][field] = value)));
    return rows;
  }

  // Opens the trial of a clicked point.
  function pick(click, query) {
    const point = click && click.points && click.points[0];
    const drawn = document.querySelector("#front-figure .js-plotly-plot");
    if (!point || !drawn) {
      return no();
    }
    // for typed arrays Dash passes only the index of the point
    const data = point.customdata ?? drawn._fullData[point.curveNumber].customdata?.[point.pointNumber];
    const number = Array.isArray(data) ? data[0] : data;
    if (Number.isInteger(number)) {
      const study = query.path.split("/")[1];
      go(`/${study}/trial/${number}` + queryString({ brush: read(query.search).brush }));
    }
    return no();
  }

  // Stores the zoomed ranges; Plotly itself keeps them only while the figure's own ranges stay the same.
  function zoom(change, kept) {
    const drawn = document.querySelector("#front-figure .js-plotly-plot");
    if (!change || !drawn || !drawn.layout) {
      return no();
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
  function limit(clicks, most, editions) {
    const context = window.dash_clientside.callback_context;
    if (!context.triggered_id || !clicks.some(Boolean)) {
      return most.map(no);
    }
    const limits = editions[context.triggered_id.edition] || {};
    return context.outputs_list.map((slider, place) => Math.min(limits[slider.id.limit] ?? most[place], most[place]));
  }

  function openRow(cell, query) {
    if (cell && cell.rowId != null && cell.colId !== "ag-Grid-SelectionColumn") {
      go(`/${query.path.split("/")[1]}/trial/${cell.rowId}` + queryString({ brush: read(query.search).brush }));
    }
    return no();
  }

  function compare(rows, query) {
    const numbers = (rows || []).map((row) => row.number).slice(0, 4);
    const study = query.path.split("/")[1];
    const address = `/${study}/compare` + queryString({ trials: numbers.join(","), brush: read(query.search).brush });
    const label = numbers.length < 2 ? "Choose two to four trials to compare" : `Compare ${numbers.join(", ")}`;
    return [address, label, numbers.length < 2 ? "button off" : "button"];
  }

  // Polls whether the study has changed.
  async function follow(_, version, query) {
    if (document.hidden || !query || !query.defaults) {
      return no(); // no view is open yet
    }
    const banner = document.getElementById("away");
    try {
      const answer = await fetch(`/_version?${new URLSearchParams({ path: query.path, search: query.search, seen: version })}`);
      banner.hidden = true;
      if (answer.status === 200 && document.querySelector("main.missing")) {
        location.reload(); // the missing study may exist now
      }
      return answer.status === 200 ? await answer.text() : no();
    } catch {
      banner.hidden = false;
      return no();
    }
  }

  // Adds the accessible names that Dash's sliders lack.
  function name() {
    for (const slider of document.querySelectorAll(".slider")) {
      const text = slider.querySelector("label").textContent;
      for (const part of slider.querySelectorAll("[role=slider], input")) {
        part.setAttribute("aria-label", text);
      }
    }
  }
  new MutationObserver(name).observe(document.documentElement, { childList: true, subtree: true });

  function settle(_, title) {
    const page = document.getElementById("page");
    page.removeAttribute("aria-busy");
    document.title = title || "SceneFront";
    carry(read(location.search).brush || "");
    name();
    return no();
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    scenefront: { theme, open, choose, brush, fill, pick, zoom, limit, openRow, compare, follow, settle },
  });

  // Renders the output of search.dashboard.components.serialize.
  function build(node) {
    return typeof node === "string" ? node : window.React.createElement(node[0], node[1], ...node[2].map(build));
  }

  // See search.dashboard.components. When the browser is idle, placeholders are filled one by one.
  const idle = window.requestIdleCallback || ((act) => setTimeout(act, 100));
  let calm = Promise.resolve();
  function LazyComponent({ children, name, style, isHeavy }) {
    const { createElement, useEffect, useRef, useState } = window.React;
    const place = useRef(null);
    const [due, fill] = useState(null);
    useEffect(() => {
      const near = new IntersectionObserver((all) => all.some((each) => each.isIntersecting) && fill(name), { rootMargin: NEAR });
      near.observe(place.current);
      let isGone = false;
      if (!isHeavy) {
        calm = calm.then(() => new Promise((go) => (isGone ? go() : idle(() => go(isGone || fill(name))))));
      }
      return () => {
        isGone = true;
        near.disconnect();
      };
    }, [name]);
    return createElement("div", { ref: place, className: "lazy", style }, due === name ? children : null);
  }
  window.scenefront = { StaticComponent: ({ element }) => build(element), LazyComponent };

  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  cells.TrialLink = (cell) =>
    window.React.createElement("a", { href: cell.context ? `${cell.context.base}/${cell.value}` : `../trial/${cell.value}` }, cell.value);
})();
