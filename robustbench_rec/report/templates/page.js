"use strict";
(() => {
  // The content of the page. All text of it becomes text nodes and attributes, never markup.
  const DATA = JSON.parse(document.getElementById("content").textContent);
  const IS_REPORT = DATA.kind === "report";
  const byId = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";

  // ---- Elements -------------------------------------------------------------------------------

  function fill(node, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "on") {
        for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
      } else if (value !== undefined && value !== null && value !== false) {
        node.setAttribute(key, value === true ? "" : value);
      }
    }
    node.append(
      ...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false),
    );
    return node;
  }
  const html = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) =>
    fill(document.createElementNS(SVG, tag), attributes, children);
  const named = (text, most = 60) =>
    html(
      "span",
      { dir: "auto", class: "name", title: text.length > most ? text : null },
      shortened(text, most),
    );
  const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

  // ---- Numbers --------------------------------------------------------------------------------

  const known = (value) => value !== null && value !== undefined;
  const digitsOf = (measure) => (measure === "value" || measure === "mean" ? 4 : 3);
  const printed = (value, digits) => (known(value) ? value.toFixed(digits) : "–");
  const level = (value) => String(Number(value.toPrecision(6)));
  const ends = (low, high, digits) =>
    known(low) && known(high) ? `[${printed(low, digits)}, ${printed(high, digits)}]` : "";
  const plural = (n, what) => `${n} ${n === 1 ? what : `${what}s`}`;

  // ---- State: what is shown, kept in the fragment of the address ----------------------------------

  const TABS = IS_REPORT
    ? [
        ["answer", "Answer"],
        ["leaderboard", "Leaderboard"],
        ["curves", "Curves"],
        ["heatmap", "Heat map"],
        ["diagnostics", "Diagnostics"],
        ["settings", "Settings"],
        ["cautions", "Cautions"],
        ["provenance", "Provenance"],
        ["tables", "Tables and data"],
      ]
    : DATA.tabs.map((one) => [one.key, one.title]);
  const VALUES = { absolute: 3, retention: 6, excess: 9 };
  const VALUE_NAMES = { absolute: "value", retention: "retention", excess: "excess" };
  const LISTS = ["hide", "show", "column"];

  function defaults(name) {
    const run = runNamed(name);
    const plain = {
      tab: TABS[0][0],
      hide: [],
      show: [],
      column: ["excess_kept", "jaccard", "rbo"],
      sorted: {},
    };
    if (!run) return plain;
    return {
      ...plain,
      run: run.name,
      metric: run.labels.metric[0].key,
      sort: run.answer.length ? "kept" : "value",
      order: "best",
      dataset: "",
      backbone: "",
      perturbation: "",
      value: run.answer.length ? "retention" : "absolute",
      x: "level",
      diagnostic: diagnosticsOf(run)[0] || "",
      hide: run.labels.loss.filter((one) => one.hidden).map((one) => one.key),
    };
  }
  const runNamed = (name) => IS_REPORT && (DATA.runs.find((one) => one.name === name) || DATA.runs[0]);
  const diagnosticsOf = (run) =>
    Object.keys(DATA.diagnostics).filter((name) => run.panels.some((panel) => panel.diagnostics[name]));

  function allowed(run) {
    if (!run) return { tab: TABS.map(([key]) => key) };
    const keys = (axis) => run.labels[axis].map((one) => one.key);
    return {
      run: DATA.runs.map((one) => one.name),
      tab: TABS.map(([key]) => key),
      metric: keys("metric"),
      sort: ["loss", ...DATA.measures.map((one) => one.key)],
      order: ["best", "worst"],
      dataset: ["", ...keys("dataset")],
      backbone: ["", ...keys("backbone")],
      perturbation: ["", ...keys("perturbation")],
      value: Object.keys(VALUES),
      x: ["level", "realised"],
      diagnostic: diagnosticsOf(run),
    };
  }

  function parsed(fragment) {
    const given = new URLSearchParams(fragment.replace(/^#/, ""));
    const run = runNamed(given.get("run"));
    const found = defaults(run && run.name);
    for (const [key, values] of Object.entries(allowed(run))) {
      if (values.includes(given.get(key))) found[key] = given.get(key);
    }
    for (const key of LISTS) if (given.has(key)) found[key] = given.getAll(key).filter(Boolean);
    for (const [key, value] of given) {
      if (key.startsWith("by.") && /^\d+[ud]$/.test(value)) found.sorted[key.slice(3)] = value;
    }
    return found;
  }

  function written(state) {
    const plain = defaults(state.run);
    const found = new URLSearchParams();
    if (state.run && state.run !== DATA.runs[0].name) found.set("run", state.run);
    for (const key of Object.keys(plain)) {
      if (LISTS.includes(key)) {
        if (String(state[key]) === String(plain[key])) continue;
        for (const one of state[key].length ? state[key] : [""]) found.append(key, one);
      } else if (key !== "sorted" && key !== "run" && state[key] !== plain[key]) {
        found.set(key, state[key]);
      }
    }
    for (const [name, by] of Object.entries(state.sorted)) found.set(`by.${name}`, by);
    return found.toString();
  }

  let state = parsed(location.hash);
  let isPrinting = false;
  const darkened = matchMedia("screen and (prefers-color-scheme: dark)");
  const isDark = () => darkened.matches && !isPrinting;

  function change(changes, isStep = false) {
    const before = state;
    state = { ...state, ...changes };
    if (changes.run && changes.run !== before.run)
      state = { ...defaults(changes.run), tab: state.tab, hide: state.hide };
    const address = `#${written(state)}`;
    history[isStep ? "pushState" : "replaceState"](null, "", address);
    render();
  }
  const toggled = (list, one) =>
    list.includes(one) ? list.filter((other) => other !== one) : [...list, one];
  addEventListener("popstate", () => {
    state = parsed(location.hash);
    render();
  });
  addEventListener("hashchange", () => {
    state = parsed(location.hash);
    render();
  });

  // ---- Blocks: parts of a view that are painted when they come into sight, then when idle ----------

  const blocks = new Map(); // element -> { paint, stale, seen }
  const sight = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const block = blocks.get(entry.target);
        if (!block) continue;
        block.seen = entry.isIntersecting;
        if (block.seen) painted(block);
      }
    },
    { rootMargin: "150px" },
  );
  let nPainted = 0;
  let isWaiting = false;
  const idle = (act) =>
    window.requestIdleCallback ? requestIdleCallback(act, { timeout: 150 }) : setTimeout(act, 30);

  function painted(block) {
    if (!block.stale || !block.node.isConnected) return;
    block.stale = false;
    nPainted += 1;
    block.paint();
  }
  function blocked(node, paint) {
    const block = { node, paint, stale: true, seen: false };
    blocks.set(node, block);
    sight.observe(node);
    return node;
  }
  function repaint(all = false) {
    nPainted = 0;
    const began = performance.now();
    for (const block of blocks.values()) {
      block.stale = true;
      if (all || (block.seen && isShown(block.node))) painted(block);
    }
    byId("main").dataset.painted = String(nPainted);
    byId("main").dataset.milliseconds = (performance.now() - began).toFixed(1);
    if (!isWaiting) {
      isWaiting = true;
      byId("main").dataset.waiting = "true";
      idle(paintSome);
    }
  }
  const isShown = (node) => !node.closest("[hidden]");
  function paintSome() {
    const began = performance.now();
    let left = false;
    for (const block of blocks.values()) {
      if (!block.stale || !isShown(block.node)) continue;
      if (performance.now() - began > 12) {
        left = true;
        break;
      }
      painted(block);
    }
    isWaiting = left;
    byId("main").dataset.waiting = String(left);
    if (left) idle(paintSome);
  }

  // ---- Looks of losses ---------------------------------------------------------------------------

  const channels = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  const hex = (parts) => `#${parts.map((one) => Math.round(one).toString(16).padStart(2, "0")).join("")}`;
  function luminance(color) {
    const [r, g, b] = channels(color)
      .map((one) => one / 255)
      .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  const DARK = "#16171b";
  function toned(color, dark) {
    if (!dark) return color; // the colours of the figures
    let found = color;
    for (
      let share = 0.15;
      (luminance(found) + 0.05) / (luminance(DARK) + 0.05) < 4 && share < 1;
      share += 0.1
    ) {
      found = hex(channels(color).map((one) => one + (255 - one) * share));
    }
    return found;
  }

  const turned = (n, radius, from = -90, inner = null) => {
    const points = [];
    const count = inner === null ? n : 2 * n;
    for (let at = 0; at < count; at += 1) {
      const angle = ((from + (360 * at) / count) * Math.PI) / 180;
      const r = inner !== null && at % 2 ? inner : radius;
      points.push(`${(r * Math.cos(angle)).toFixed(2)},${(r * Math.sin(angle)).toFixed(2)}`);
    }
    return `M${points.join("L")}Z`;
  };
  const circle = (r) => `M${-r},0A${r},${r} 0 1 0 ${r},0A${r},${r} 0 1 0 ${-r},0Z`;
  const plus = (r) => {
    const a = r * 0.38;
    return `M${-a},${-r}H${a}V${-a}H${r}V${a}H${a}V${r}H${-a}V${a}H${-r}V${-a}H${-a}Z`;
  };
  const MARKERS = {
    o: () => circle(3.4),
    s: () => turned(4, 4.4, -45),
    D: () => turned(4, 4.4),
    d: () => "M0,-4.6L2.8,0L0,4.6L-2.8,0Z",
    "^": () => turned(3, 4.6),
    v: () => turned(3, 4.6, 90),
    "<": () => turned(3, 4.6, 180),
    ">": () => turned(3, 4.6, 0),
    p: () => turned(5, 4.3),
    h: () => turned(6, 4.3),
    H: () => turned(6, 4.3, 0),
    8: () => turned(8, 4, 22.5),
    "*": () => turned(5, 5.2, -90, 2.2),
    P: () => plus(4.2),
    X: () => plus(4.4),
  };
  function marker(look, x, y, dark, size = 1) {
    const color = toned(look.color, dark);
    const turn = look.marker === "X" ? " rotate(45)" : "";
    const hollow = look.fill !== "full";
    return svg("path", {
      d: (MARKERS[look.marker] || MARKERS.o)(),
      transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})${turn}${size === 1 ? "" : ` scale(${size})`}`,
      fill: hollow ? (dark ? DARK : "#ffffff") : color,
      stroke: color,
      "stroke-width": hollow ? 1.2 : 0.6,
    });
  }
  const dashed = (look, width) =>
    look.dash
      .split(" ")
      .filter(Boolean)
      .map((one) => Number(one) * width)
      .join(" ") || null;
  const swatch = (look, dark) =>
    svg(
      "svg",
      { width: 30, height: 12, viewBox: "0 0 30 12", "aria-hidden": "true" },
      svg("line", {
        x1: 1,
        y1: 6,
        x2: 29,
        y2: 6,
        stroke: toned(look.color, dark),
        "stroke-width": 1.7,
        "stroke-dasharray": dashed(look, 1.7),
      }),
      marker(look, 15, 6, dark),
    );

  // ---- Charts -----------------------------------------------------------------------------------

  const WIDTH = 430,
    HEIGHT = 300;
  const EDGE = { left: 50, right: 12, top: 12, bottom: 46 };

  function ticks(low, high, wanted) {
    const span = high - low || Math.abs(high) || 1;
    const rough = span / wanted;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((one) => one * unit).find((one) => one >= rough * 0.999);
    const found = [];
    for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step)
      found.push(Number(at.toPrecision(10)));
    return found;
  }

  // lines: { look, name, points: [{ x, y, low, high, told }], flat } in the order in which they are drawn.
  function lineChart(chart, dark, withLegend = false) {
    const lines = chart.lines();
    const points = lines.flatMap((line) => line.points.filter((one) => known(one.y)));
    const label = chart.label();
    const rows = withLegend ? Math.ceil(lines.length / 3) : 0;
    const top = EDGE.top + (withLegend ? 22 : 0);
    const height = HEIGHT + (top - EDGE.top) + rows * 18;
    const root = svg("svg", {
      xmlns: SVG,
      viewBox: `0 0 ${WIDTH} ${height}`,
      role: "img",
      "aria-label": label,
      color: dark ? "#e8e8ee" : "#1b1b1f",
      "font-family": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
      "font-size": 11.5,
    });
    if (withLegend)
      root.append(
        svg("rect", { width: WIDTH, height, fill: dark ? DARK : "#ffffff" }),
        svg(
          "text",
          { x: EDGE.left, y: 20, "font-size": 13, "font-weight": 600, fill: "currentColor" },
          shortened(chart.title, 60),
        ),
      );
    const area = {
      left: EDGE.left,
      right: WIDTH - EDGE.right,
      top,
      bottom: HEIGHT + (top - EDGE.top) - EDGE.bottom,
    };
    if (!points.length) {
      root.append(
        svg(
          "text",
          { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle", fill: "currentColor" },
          chart.empty || "no loss is shown",
        ),
      );
      return { root, spots: [] };
    }
    const xs = points.map((one) => one.x);
    const ys = points.flatMap((one) => [one.y, one.low, one.high]).filter(known);
    let [x0, x1] = [Math.min(...xs), Math.max(...xs)];
    let [y0, y1] = [Math.min(...ys), Math.max(...ys)];
    if (x0 === x1) [x0, x1] = [x0 - 0.5, x1 + 0.5];
    const room = (y1 - y0 || Math.abs(y1) || 1) * 0.05;
    [y0, y1] = [y0 - room, y1 + room];
    const px = (x) => area.left + 6 + ((x - x0) / (x1 - x0)) * (area.right - area.left - 12);
    const py = (y) => area.bottom - ((y - y0) / (y1 - y0)) * (area.bottom - area.top);
    for (const at of ticks(y0, y1, 5)) {
      root.append(
        svg("line", {
          x1: area.left,
          x2: area.right,
          y1: py(at),
          y2: py(at),
          stroke: "currentColor",
          "stroke-opacity": 0.14,
        }),
        svg(
          "text",
          { x: area.left - 6, y: py(at) + 4, "text-anchor": "end", fill: "currentColor" },
          level(at),
        ),
      );
    }
    for (const at of chart.ticks || ticks(x0, x1, 6)) {
      if (at < x0 - 1e-9 || at > x1 + 1e-9) continue;
      root.append(
        svg("line", {
          x1: px(at),
          x2: px(at),
          y1: area.bottom,
          y2: area.bottom + 4,
          stroke: "currentColor",
          "stroke-opacity": 0.6,
        }),
        svg(
          "text",
          { x: px(at), y: area.bottom + 16, "text-anchor": "middle", fill: "currentColor" },
          level(at),
        ),
      );
    }
    root.append(
      svg("line", {
        x1: area.left,
        x2: area.right,
        y1: area.bottom,
        y2: area.bottom,
        stroke: "currentColor",
        "stroke-opacity": 0.6,
      }),
      svg(
        "text",
        {
          x: (area.left + area.right) / 2,
          y: area.bottom + 35,
          "text-anchor": "middle",
          fill: "currentColor",
        },
        shortened(chart.xLabel, 62),
      ),
    );
    if (withLegend)
      root.append(
        svg(
          "text",
          {
            x: 13,
            y: (area.top + area.bottom) / 2,
            "text-anchor": "middle",
            fill: "currentColor",
            transform: `rotate(-90 13 ${(area.top + area.bottom) / 2})`,
          },
          shortened(chart.yLabel, 44),
        ),
      );
    const spots = [];
    for (const line of lines) {
      const held = line.points.filter((one) => known(one.y));
      const color = toned(line.look.color, dark);
      const group = svg("g", { stroke: color });
      for (const one of held) {
        if (known(one.low) && known(one.high) && one.high > one.low && !line.flat) {
          group.append(
            svg("line", {
              x1: px(one.x),
              x2: px(one.x),
              y1: py(one.low),
              y2: py(one.high),
              "stroke-width": 1.1,
              "stroke-opacity": 0.55,
            }),
          );
        }
      }
      group.append(
        svg("path", {
          d: held
            .map((one, at) => `${at ? "L" : "M"}${px(one.x).toFixed(1)},${py(one.y).toFixed(1)}`)
            .join(""),
          fill: "none",
          "stroke-width": 1.6,
          "stroke-dasharray": dashed(line.look, 1.6),
        }),
      );
      if (!line.flat)
        for (const one of held) group.append(marker(line.look, px(one.x), py(one.y), dark, 0.85));
      for (const one of held) spots.push({ x: px(one.x), y: py(one.y), told: one.told });
      root.append(group);
    }
    if (withLegend) {
      lines.forEach((line, at) => {
        const x = EDGE.left + (at % 3) * ((WIDTH - EDGE.left) / 3),
          y = area.bottom + 56 + Math.floor(at / 3) * 18;
        root.append(
          svg("line", {
            x1: x,
            x2: x + 24,
            y1: y,
            y2: y,
            stroke: toned(line.look.color, dark),
            "stroke-width": 1.6,
            "stroke-dasharray": dashed(line.look, 1.6),
          }),
          line.flat ? null : marker(line.look, x + 12, y, dark, 0.85),
          svg(
            "text",
            { x: x + 29, y: y + 4, fill: "currentColor", "font-size": 10.5 },
            shortened(line.name, 17),
          ),
        );
      });
      root.setAttribute("width", WIDTH);
      root.setAttribute("height", height);
    }
    return { root, spots };
  }

  const STOPS = [
    "#00224e",
    "#123570",
    "#3b496c",
    "#575d6d",
    "#707173",
    "#8a8678",
    "#a59c74",
    "#c3b369",
    "#e1cc55",
    "#fee838",
  ];
  function shade(share) {
    const at = Math.max(0, Math.min(1, share)) * (STOPS.length - 1);
    const from = Math.min(Math.floor(at), STOPS.length - 2);
    const [one, other] = [channels(STOPS[from]), channels(STOPS[from + 1])];
    return hex(one.map((value, i) => value + (other[i] - value) * (at - from)));
  }

  // cells: rows x columns of { value, text, told } or null.
  function heatChart(chart, dark, withTitle = false) {
    const { rows, columns, cells, span } = chart.grid();
    const left = 112,
      cell = { width: 82, height: 26 };
    const head = 58 + (withTitle ? 24 : 0);
    const width = left + columns.length * cell.width + 8,
      height = head + rows.length * cell.height + 6;
    const root = svg("svg", {
      xmlns: SVG,
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": chart.label(),
      width,
      height,
      color: dark ? "#e8e8ee" : "#1b1b1f",
      "font-family": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
      "font-size": 11.5,
    });
    if (withTitle)
      root.append(
        svg("rect", { width, height, fill: dark ? DARK : "#ffffff" }),
        svg(
          "text",
          { x: 4, y: 18, "font-size": 13, "font-weight": 600, fill: "currentColor" },
          shortened(chart.title, Math.floor(width / 7)),
        ),
      );
    columns.forEach((column, at) => {
      const x = left + (at + 0.5) * cell.width;
      folded(column.name, 15).forEach((text, line) =>
        root.append(
          svg(
            "text",
            { x, y: head - 43 + line * 12, "text-anchor": "middle", fill: "currentColor", "font-size": 10.5 },
            text,
          ),
        ),
      );
      root.append(
        svg(
          "text",
          {
            x,
            y: head - 6,
            "text-anchor": "middle",
            fill: "currentColor",
            "font-size": 10.5,
            "fill-opacity": 0.85,
          },
          column.at,
        ),
      );
    });
    const spots = [];
    rows.forEach((row, down) => {
      const y = head + down * cell.height;
      root.append(
        svg(
          "text",
          { x: left - 6, y: y + 17, "text-anchor": "end", fill: "currentColor" },
          shortened(row, 17),
        ),
      );
      columns.forEach((_, across) => {
        const one = cells[down][across];
        const x = left + across * cell.width;
        const filled = one && known(one.value);
        const color = filled ? shade((one.value - span[0]) / (span[1] - span[0] || 1)) : null;
        root.append(
          svg("rect", {
            x: x + 1,
            y: y + 1,
            width: cell.width - 2,
            height: cell.height - 2,
            rx: 2,
            fill: color || "none",
            stroke: filled ? "none" : "currentColor",
            "stroke-opacity": 0.25,
          }),
        );
        if (one) {
          const ink = !filled ? "currentColor" : luminance(color) > 0.18 ? "#000000" : "#ffffff";
          root.append(
            svg("text", { x: x + cell.width / 2, y: y + 17, "text-anchor": "middle", fill: ink }, one.text),
          );
          spots.push({ x: x + cell.width / 2, y: y + cell.height / 2, told: one.told });
        }
      });
    });
    return { root, spots };
  }
  function folded(text, most) {
    const lines = [""];
    for (const word of text.split(" ")) {
      if (lines[lines.length - 1] && lines[lines.length - 1].length + word.length >= most) lines.push("");
      lines[lines.length - 1] = `${lines[lines.length - 1]} ${word}`.trim();
    }
    const held = lines.length > 3 ? [lines[0], lines[1], lines.slice(2).join(" ")] : lines;
    return held.map((one) => shortened(one, most + 1));
  }

  const tip = byId("tip");
  function showTip(text, clientX, clientY) {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const x = Math.max(4, Math.min(clientX + 14, innerWidth - box.width - 6));
    const y = clientY + 16 + box.height > innerHeight ? clientY - box.height - 12 : clientY + 16;
    tip.style.left = `${x}px`;
    tip.style.top = `${Math.max(4, y)}px`;
  }
  const hideTip = () => {
    tip.hidden = true;
  };
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") hideTip();
  });

  // A chart with its heading, its files, and its values as a table.
  function figureOf(chart, draw) {
    const plot = html("div", {
      class: "plot",
      tabindex: 0,
      role: "group",
      "aria-label": `${chart.title}: arrow keys tell the values`,
    });
    const summary = html("summary", {}, "Values");
    const details = html(
      "details",
      {
        on: {
          toggle: () => {
            if (details.open) tabulate();
          },
        },
      },
      summary,
    );
    let spots = [],
      at = -1;
    const tabulate = () =>
      details.replaceChildren(summary, plainTable(chart.table(), `Values of ${chart.title}`));
    const node = html(
      "figure",
      { class: `chart ${chart.kind || ""}` },
      html("figcaption", {}, html("h3", {}, named(chart.title, 90)), html("p", { class: "sub" })),
      plot,
      html(
        "div",
        { class: "files" },
        button(
          "SVG",
          () => download(`${chart.file()}.svg`, "image/svg+xml", pictured(chart, draw)),
          `SVG of ${chart.title}`,
        ),
        button("PNG", () => saveImage(`${chart.file()}.png`, pictured(chart, draw)), `PNG of ${chart.title}`),
        button("CSV", () => saveCsv(chart.file(), chart.table()), `CSV of ${chart.title}`),
      ),
      details,
    );
    const tellAt = (spot, box) => {
      const view = plot.firstChild.viewBox.baseVal;
      const ratio = box.width / view.width;
      const ring =
        plot.firstChild.querySelector(".ring") ||
        plot.firstChild.appendChild(
          svg("circle", { class: "ring", r: 8, fill: "none", stroke: "currentColor", "stroke-width": 1.2 }),
        );
      ring.setAttribute("cx", spot.x);
      ring.setAttribute("cy", spot.y);
      showTip(spot.told, box.left + spot.x * ratio, box.top + spot.y * ratio);
    };
    const leave = () => {
      hideTip();
      at = -1;
      const ring = plot.querySelector(".ring");
      if (ring) ring.remove();
    };
    const hover = (event) => {
      const box = plot.firstChild.getBoundingClientRect();
      const ratio = plot.firstChild.viewBox.baseVal.width / box.width;
      const [x, y] = [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
      let best = null,
        least = (chart.reach || 34) ** 2;
      for (const spot of spots) {
        const far = (spot.x - x) ** 2 + (spot.y - y) ** 2;
        if (far < least) [best, least] = [spot, far];
      }
      if (best) tellAt(best, box);
      else leave();
    };
    plot.addEventListener("pointermove", hover);
    plot.addEventListener("pointerdown", hover);
    plot.addEventListener("pointerleave", leave);
    plot.addEventListener("blur", leave);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step || !spots.length) return;
      event.preventDefault();
      at = at < 0 ? (step > 0 ? 0 : spots.length - 1) : (at + step + spots.length) % spots.length;
      tellAt(spots[at], plot.firstChild.getBoundingClientRect());
    });
    return blocked(node, () => {
      const drawn = draw(chart, isDark());
      spots = drawn.spots;
      at = -1;
      plot.replaceChildren(drawn.root);
      node.querySelector(".sub").textContent = chart.sub();
      if (details.open) tabulate();
    });
  }

  // ---- Files ------------------------------------------------------------------------------------

  const button = (text, act, label) =>
    html("button", { type: "button", "aria-label": label || null, on: { click: act } }, text);
  function download(name, type, content) {
    const address = URL.createObjectURL(new Blob([content], { type }));
    html("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }
  const pictured = (chart, draw) => new XMLSerializer().serializeToString(draw(chart, false, true).root);
  function saveImage(name, source) {
    const image = new Image();
    image.addEventListener("load", () => {
      const canvas = html("canvas", { width: image.width * 2, height: image.height * 2 });
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => download(name, "image/png", blob), "image/png");
    });
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(source)}`;
  }
  const cellText = (cell) => (Array.isArray(cell) ? cell[0] : known(cell) ? cell : "");
  const cellValue = (cell) => (Array.isArray(cell) ? cell[1] : known(cell) ? cell : "");
  function quoted(cell) {
    const value = cellValue(cell);
    if (typeof value === "number") return String(value);
    const text = /^\s*[=+\-@]/.test(value) ? `'${value}` : value; // no formula in a spreadsheet
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }
  const csv = (table) =>
    [table.head, ...table.rows].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  const saveCsv = (name, table) => download(`${name}.csv`, "text/csv", csv(table));
  const fileName = (...parts) =>
    parts
      .join("-")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}]+/gu, "-")
      .replace(/^-|-$/g, "")
      .slice(0, 120);

  // ---- Tables -----------------------------------------------------------------------------------

  const isNumber = (cell) => Array.isArray(cell) || typeof cell === "number";
  const MARKED = { best: "strong", second: "u" };
  function cellNode(cell) {
    if (!isNumber(cell)) return html("td", {}, named(String(cellText(cell)), 600));
    const text = String(cellText(cell));
    return html(
      "td",
      { class: "number" },
      Array.isArray(cell) && cell[2] ? html(MARKED[cell[2]], {}, text) : text,
    );
  }
  function plainTable(table, label) {
    return html(
      "div",
      { class: "wide", tabindex: 0, role: "region", "aria-label": label },
      html(
        "table",
        {},
        html("caption", { class: "unseen" }, label),
        html(
          "thead",
          {},
          html(
            "tr",
            {},
            table.head.map((one) =>
              html("th", { scope: "col" }, one || html("span", { class: "unseen" }, "item")),
            ),
          ),
        ),
        html(
          "tbody",
          {},
          table.rows.map((row) => html("tr", {}, row.map(cellNode))),
        ),
      ),
    );
  }

  function compared(one, other) {
    const [a, b] = [cellValue(one), cellValue(other)];
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? -1 : 1;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  // A sheet: a table that any of its headings sorts.
  function sheetNode(sheet, run) {
    const body = html("tbody");
    const heads = sheet.head.map((name, at) => {
      const numeric = sheet.rows.some((row) => isNumber(row[at]));
      const press = () => {
        const now = state.sorted[sheet.name];
        const next = now === `${at}u` ? `${at}d` : now === `${at}d` ? null : `${at}u`;
        const { [sheet.name]: _, ...rest } = state.sorted;
        change({ sorted: next ? { ...rest, [sheet.name]: next } : rest });
      };
      return html("th", { scope: "col", class: numeric ? "number" : null }, button(name || "item", press));
    });
    const node = html(
      "section",
      { class: "sheet" },
      html("h3", {}, sheet.title),
      html(
        "div",
        { class: "wide", tabindex: 0, role: "region", "aria-label": sheet.title },
        html(
          "table",
          {},
          html("caption", { class: "unseen" }, sheet.title),
          html("thead", {}, html("tr", {}, heads)),
          body,
        ),
      ),
      sheet.notes ? note(sheet.notes) : null,
      html(
        "div",
        { class: "files" },
        button(
          "CSV",
          () => saveCsv(fileName(run ? run.name : DATA.title, sheet.name), sheet),
          `CSV of ${sheet.title}`,
        ),
      ),
    );
    return blocked(node, () => {
      const by = state.sorted[sheet.name];
      const at = by ? parseInt(by, 10) : -1;
      const sign = by && by.endsWith("d") ? -1 : 1;
      const rows =
        at >= 0 && at < sheet.head.length
          ? [...sheet.rows].sort((one, other) => sign * compared(one[at], other[at]))
          : sheet.rows;
      heads.forEach((head, column) =>
        head.setAttribute("aria-sort", column === at ? (sign > 0 ? "ascending" : "descending") : "none"),
      );
      body.replaceChildren(...rows.map((row) => html("tr", {}, row.map(cellNode))));
    });
  }

  // ---- A run --------------------------------------------------------------------------------------

  const at = (run, axis, number) => run.labels[axis][number];
  const place = (run, panel) =>
    ["dataset", "backbone", "perturbation"].map((axis, i) => at(run, axis, panel.at[i]));
  const titleOf = (run, panel) => {
    const [dataset, backbone, perturbation] = place(run, panel);
    return `${perturbation.name}: ${dataset.name}, ${backbone.name}`;
  };
  const isWanted = (run, panel) =>
    ["dataset", "backbone", "perturbation"].every(
      (axis, i) => !state[axis] || at(run, axis, panel.at[i]).key === state[axis],
    );
  const metricAt = (run) =>
    Math.max(
      0,
      run.labels.metric.findIndex((one) => one.key === state.metric),
    );
  const metricOf = (run) => run.labels.metric[metricAt(run)];
  const isHidden = (loss) => state.hide.includes(loss.key);
  const meanings = (flags) =>
    (flags || "")
      .split(" ")
      .filter(Boolean)
      .map((flag) => `${flag}: ${DATA.flags[flag] || "a flag of a later version"}`);
  const levelsOf = (panel) => panel.levels;

  // ---- Leaderboard ---------------------------------------------------------------------------------

  const MEASURES = IS_REPORT ? DATA.measures.map((one) => one.key) : [];
  const COLUMNS = ["groups", "interval", ...MEASURES, "beaten"];
  const HEADS = {
    groups: "group",
    interval: "95% interval",
    beaten: "beaten by",
    kept: "kept",
    value: "value",
    retention: "retention",
    excess: "excess",
    excess_kept: "excess kept",
    jaccard: "Jaccard",
    rbo: "RBO",
  };

  // The rows of a panel: a loss each, the best by the sorted measure first, those without a place last.
  function boardRows(run, panel) {
    const metric = metricAt(run);
    const ranks = panel.ranks[metric] || {};
    const of = {};
    for (const [measure, held] of Object.entries(ranks)) {
      for (const [loss, place, score, low, high, top, groups, beaten] of held.rows) {
        (of[loss] ||= {})[measure] = { place, score, low, high, top, groups, beaten };
      }
    }
    const curves = panel.curves[metric] || {};
    if (!Object.keys(ranks).length) {
      const last = levelsOf(panel)[levelsOf(panel).length - 1];
      for (const [loss, points] of Object.entries(curves)) {
        const one = points.find((point) => point[0] === last);
        if (one)
          of[loss] = {
            value: {
              place: null,
              score: one[3],
              low: one[4],
              high: one[5],
              top: false,
              groups: "",
              beaten: [],
            },
          };
      }
    }
    const rows = run.labels.loss
      .map((loss, number) => ({
        loss,
        number,
        by: of[number] || {},
        absent: panel.absent.includes(number),
        flags: [...new Set((curves[number] || []).flatMap((point) => point[12].split(" ").filter(Boolean)))]
          .sort()
          .join(" "),
      }))
      .filter((row) => Object.keys(row.by).length || row.absent);
    const by = shownSort(panel, metric);
    const score = (row) => (row.by[by] && known(row.by[by].score) ? row.by[by].score : null);
    const sign = state.order === "worst" ? -1 : 1;
    return rows.sort((one, other) => {
      if (state.sort === "loss") return sign * (one.number - other.number);
      const [a, b] = [score(one), score(other)];
      if (a === null || b === null) return a === b ? one.number - other.number : a === null ? 1 : -1;
      const [p, q] = [one.by[by].place, other.by[by].place];
      return sign * (known(p) && known(q) && p !== q ? p - q : b - a) || one.number - other.number;
    });
  }
  function shownSort(panel, metric) {
    const held = panel.ranks[metric] || {};
    if (held[state.sort]) return state.sort;
    return held.kept ? "kept" : "value";
  }

  const BEAM = 110;
  function beam(row, by, span, dark) {
    const one = row.by[by];
    if (!one || !known(one.score)) return null;
    const x = (value) => 5 + ((value - span[0]) / (span[1] - span[0] || 1)) * (BEAM - 10);
    const bar = known(one.low) && known(one.high) ? [x(one.low).toFixed(1), x(one.high).toFixed(1)] : null;
    return svg(
      "svg",
      { width: BEAM, height: 16, viewBox: `0 0 ${BEAM} 16`, "aria-hidden": "true" },
      bar &&
        svg("path", {
          d: `M${bar[0]},8H${bar[1]}M${bar[0]},3V13M${bar[1]},3V13`,
          stroke: toned(row.loss.color, dark),
          "stroke-width": 1.4,
          fill: "none",
        }),
      marker(row.loss, x(one.score), 8, dark, 0.65),
    );
  }

  function boardBlock(run, panel) {
    const body = html("tbody");
    const heads = {};
    const head = (key, text, sortable) => {
      const press = () =>
        change(
          state.sort === key
            ? { order: state.order === "best" ? "worst" : "best" }
            : { sort: key, order: "best" },
        );
      heads[key] = html(
        "th",
        {
          scope: "col",
          class: `c-${key}${key === "loss" || key === "beaten" || key === "groups" ? "" : " number"}`,
        },
        sortable ? button(text, press) : text,
      );
      return heads[key];
    };
    const [dataset, backbone, perturbation] = place(run, panel);
    const hardest = levelsOf(panel)[levelsOf(panel).length - 1];
    const title = titleOf(run, panel);
    const note = html("p", { class: "note" });
    const node = html(
      "section",
      { class: "board" },
      html(
        "h3",
        {},
        named(title, 120),
        html(
          "span",
          { class: "sub" },
          levelsOf(panel).length > 1 ? ` up to level ${level(hardest)}` : ` level ${level(hardest)} alone`,
        ),
      ),
      html(
        "div",
        { class: "wide", tabindex: 0, role: "region", "aria-label": `Leaderboard, ${title}` },
        html(
          "table",
          {},
          html(
            "caption",
            { class: "unseen" },
            `Losses ranked on ${dataset.name}, ${backbone.name}, under ${perturbation.name}`,
          ),
          html(
            "thead",
            {},
            html(
              "tr",
              {},
              html("th", { scope: "col", class: "c-place number" }, "place"),
              head("loss", "loss", true),
              head("groups", HEADS.groups),
              head("interval", HEADS.interval),
              DATA.measures.map((one) => head(one.key, HEADS[one.key], true)),
              head("beaten", HEADS.beaten),
            ),
          ),
          body,
        ),
      ),
      note,
    );
    return blocked(node, () => {
      const metric = metricAt(run),
        by = shownSort(panel, metric),
        dark = isDark();
      const rows = boardRows(run, panel).filter((row) => !isHidden(row.loss));
      const held = rows.map((row) => row.by[by]).filter((one) => one && known(one.score));
      const all = held.flatMap((one) => [one.score, one.low, one.high]).filter(known);
      const span = [Math.min(...all), Math.max(...all)];
      const used = new Set(
        rows.flatMap((row) => Object.keys(row.by).filter((key) => known(row.by[key].score))),
      );
      for (const key of COLUMNS)
        node.classList.toggle(
          `no-${key}`,
          state.column.includes(key) || (MEASURES.includes(key) && !used.has(key)),
        );
      const isTested = held.some((one) => known(one.low));
      if (!isTested || !panel.ranks[metric]) node.classList.add("no-groups", "no-beaten");
      if (!isTested) node.classList.add("no-interval");
      for (const key of ["loss", ...MEASURES]) {
        const direction = (key === "loss") === (state.order === "best") ? "ascending" : "descending";
        heads[key].setAttribute(
          "aria-sort",
          key === (state.sort === "loss" ? "loss" : by) ? direction : "none",
        );
      }
      body.replaceChildren(...rows.map((row) => boardRow(run, row, by, span, dark)));
      note.textContent = boardNote(panel, metric, by, rows);
    });
  }
  function boardRow(run, row, by, span, dark) {
    const mine = row.by[by] || {};
    const flags = meanings(row.flags);
    const cells = DATA.measures.map(({ key }) => {
      const one = row.by[key];
      if (row.absent) return html("td", { class: `number c-${key}` }, "n/a");
      if (!one || !known(one.score)) return html("td", { class: `number c-${key}` }, "–");
      return html(
        "td",
        { class: `number c-${key}${key === by ? " main" : ""}` },
        one.top
          ? html("strong", {}, printed(one.score, digitsOf(key)), "*")
          : printed(one.score, digitsOf(key)),
        " ",
        html("span", { class: "ends" }, ends(one.low, one.high, digitsOf(key))),
      );
    });
    return html(
      "tr",
      {},
      html(
        "td",
        { class: "number c-place" },
        row.absent ? "n/a" : known(mine.place) ? String(mine.place) : "–",
      ),
      html(
        "th",
        { scope: "row", class: "c-loss" },
        swatch(row.loss, dark),
        " ",
        named(row.loss.name, 40),
        flags.length ? html("span", { class: "flags", title: flags.join("; ") }, ` ${row.flags}`) : null,
        row.absent ? html("span", { class: "flags" }, " not applicable") : null,
      ),
      html("td", { class: "c-groups" }, mine.groups || ""),
      html("td", { class: "c-interval" }, beam(row, by, span, dark)),
      cells,
      html(
        "td",
        { class: "c-beaten" },
        (mine.beaten || []).map((one) => run.labels.loss[one].name).join(", "),
      ),
    );
  }
  function boardNote(panel, metric, by, rows) {
    const held = panel.ranks[metric] && panel.ranks[metric][by];
    const scores = rows.map((row) => row.by[by]).filter((one) => one && known(one.score));
    const hasEnds = scores.some((one) => known(one.low));
    const isTested = held && hasEnds && held.rows.filter((row) => known(row[1])).length > 1;
    const interval = held ? held.interval : panel.interval;
    const absent = rows.filter((row) => row.absent).map((row) => row.loss.name);
    return [
      held ? `Sorted by ${HEADS[by]}.` : "Values alone: no level above 0 to rank by.",
      isTested
        ? `*: no other loss beats it, p adjusted by Holm over ${plural(held.family, "pair")}, 5%. Losses that share a letter are not separable.`
        : null,
      hasEnds ? `[low, high]: ${interval}; each one at a time.` : `Nothing can be tested: ${interval}.`,
      absent.length ? `Not applicable, as they draw no negatives: ${absent.join(", ")}.` : null,
    ]
      .filter(Boolean)
      .join(" ");
  }

  // ---- Curves, heat map, diagnostics ------------------------------------------------------------

  function pointTold(name, point, value, metric, flags) {
    const [y, low, high] = value;
    const also = [
      known(point.realised) && point.realised !== point.level
        ? `realised ${printed(point.realised, 3)}`
        : null,
      plural(point.n, "replicate"),
      ...meanings(flags),
    ].filter(Boolean);
    return `${name}, ${metric}: ${printed(y, digitsOf(state.value === "absolute" ? "value" : ""))} ${ends(low, high, digitsOf(state.value === "absolute" ? "value" : ""))} at level ${level(point.level)}; ${also.join("; ")}`;
  }
  function curveLines(run, panel) {
    const metric = metricAt(run),
      column = VALUES[state.value];
    const told = `${VALUE_NAMES[state.value]} of ${run.labels.metric[metric].name}`;
    const line = (look, points, flat) => ({
      look,
      name: look.name,
      flat,
      points: points
        .map((one) => {
          const point = { level: one[0], realised: one[1], n: one[2] };
          const value = one.slice(column, column + 3);
          return {
            x: state.x === "realised" && known(one[1]) ? one[1] : one[0],
            y: value[0],
            low: value[1],
            high: value[2],
            told: pointTold(look.name, point, value, told, one[12]),
          };
        })
        .sort((one, other) => one.x - other.x),
    });
    const mine = run.labels.loss.map((loss, number) =>
      isHidden(loss) || !(panel.curves[metric] || {})[number]
        ? null
        : line(loss, panel.curves[metric][number]),
    );
    const beside = run.labels.baseline.map((one, number) =>
      state.show.includes(one.key) && (panel.baselines[metric] || {})[number]
        ? line(one, panel.baselines[metric][number], true)
        : null,
    );
    return [...beside, ...mine].filter(Boolean);
  }
  function curveChart(run, panel) {
    const title = titleOf(run, panel);
    const chart = {
      title,
      lines: () => curveLines(run, panel),
      get ticks() {
        return state.x === "level" ? levelsOf(panel) : null;
      },
      get xLabel() {
        return state.x === "realised" ? "realised severity" : panel.unit || "level";
      },
      get yLabel() {
        return chart.measure();
      },
      measure: () =>
        `${metricOf(run).name}${state.value === "absolute" ? "" : state.value === "retention" ? ": share of the clean value" : ": share of the clean lead"}`,
      sub: () => `${chart.measure()}. Bars: ${state.value === "absolute" ? panel.interval : panel.paired}`,
      label: () =>
        `Line chart. ${title}. ${chart.measure()} by ${chart.xLabel}, a line for each loss; the values are in the table below.`,
      file: () => fileName(run.name, title, metricOf(run).key, state.value),
      table: () => {
        const metric = metricAt(run),
          column = VALUES[state.value];
        const rows = [
          ["loss", panel.curves, run.labels.loss],
          ["baseline", panel.baselines, run.labels.baseline],
        ].flatMap(([axis, held, looks]) =>
          looks
            .flatMap((one, number) =>
              ((held[metric] || {})[number] || []).map((point) => [
                one.name,
                ...[point[0], point[1], point[2]].map((value) => (known(value) ? [level(value), value] : "")),
                ...point
                  .slice(column, column + 3)
                  .map((value) => (known(value) ? [printed(value, 4), value] : "")),
                point[12],
              ]),
            )
            .filter(
              (row) =>
                axis === "baseline" || !state.hide.includes(looks.find((one) => one.name === row[0]).key),
            ),
        );
        return {
          head: ["loss", "level", "realised", "replicates", VALUE_NAMES[state.value], "low", "high", "flags"],
          rows,
        };
      },
    };
    return chart;
  }

  function diagnosticChart(run, panel) {
    const title = titleOf(run, panel);
    const points = () => panel.diagnostics[state.diagnostic] || {};
    const isEven = () => state.diagnostic === "false_negative_share" && panel.even;
    const line = (loss, held) => ({
      look: loss,
      name: loss.name,
      points: held.map(([at, n, mean, low, high]) => ({
        x: at,
        y: mean,
        low,
        high,
        told: `${loss.name}: ${printed(mean, 4)} ${ends(low, high, 4)} at level ${level(at)}; ${plural(n, "replicate")}`,
      })),
    });
    const chart = {
      title,
      empty: "not measured here",
      lines: () =>
        [
          isEven()
            ? {
                look: { color: "#767676", dash: "4 2.5", marker: "o" },
                name: "even weights",
                flat: true,
                points: panel.even.map(([at, mean]) => ({
                  x: at,
                  y: mean,
                  told: `even weights: ${printed(mean, 4)} at level ${level(at)}`,
                })),
              }
            : null,
          ...run.labels.loss.map((loss, number) =>
            isHidden(loss) || !points()[number] ? null : line(loss, points()[number]),
          ),
        ].filter(Boolean),
      ticks: levelsOf(panel),
      xLabel: panel.unit || "level",
      get yLabel() {
        return DATA.diagnostics[state.diagnostic];
      },
      sub: () =>
        `${DATA.diagnostics[state.diagnostic]}, at the kept epoch. Bars: 95% over replicates, from three on`,
      label: () =>
        `Line chart. ${title}. ${DATA.diagnostics[state.diagnostic]} by ${chart.xLabel}, a line for each loss; the values are in the table below.`,
      file: () => fileName(run.name, title, state.diagnostic),
      table: () => ({
        head: ["loss", "level", "replicates", state.diagnostic, "low", "high"],
        rows: run.labels.loss.flatMap((loss, number) =>
          isHidden(loss)
            ? []
            : (points()[number] || []).map(([at, n, ...values]) => [
                loss.name,
                [level(at), at],
                [String(n), n],
                ...values.map((one) => (known(one) ? [printed(one, 4), one] : "")),
              ]),
        ),
      }),
    };
    return chart;
  }

  function heatOf(run, panels) {
    const [dataset, backbone] = place(run, panels[0]);
    const title = `${dataset.name}, ${backbone.name}`;
    const held = () =>
      panels.filter(
        (panel) => !state.perturbation || at(run, "perturbation", panel.at[2]).key === state.perturbation,
      );
    const cell = (panel, number) => {
      const metric = metricAt(run),
        column = VALUES[state.value],
        loss = run.labels.loss[number];
      if (panel.absent.includes(number))
        return {
          value: null,
          text: "n/a",
          told: `${loss.name}: not applicable under ${at(run, "perturbation", panel.at[2]).name}`,
        };
      const hardest = levelsOf(panel)[levelsOf(panel).length - 1];
      const one = ((panel.curves[metric] || {})[number] || []).find((point) => point[0] === hardest);
      if (!one || !known(one[column])) return null;
      const caution = one[12].split(" ").some((flag) => flag && flag !== "at_edge") ? "†" : "";
      return {
        value: one[column],
        low: one[column + 1],
        high: one[column + 2],
        text: printed(one[column], 3) + caution,
        told: pointTold(
          loss.name,
          { level: one[0], realised: one[1], n: one[2] },
          one.slice(column, column + 3),
          `${VALUE_NAMES[state.value]} of ${metricOf(run).name}, ${at(run, "perturbation", panel.at[2]).name}`,
          one[12],
        ),
      };
    };
    const losses = () =>
      run.labels.loss
        .map((loss, number) => ({ loss, number }))
        .filter(({ loss, number }) => !isHidden(loss) && panels.some((panel) => cell(panel, number)));
    const chart = {
      title,
      kind: "heat",
      reach: 44,
      grid: () => {
        const cells = losses().map(({ number }) => held().map((panel) => cell(panel, number)));
        const values = run.panels
          .flatMap((panel) =>
            run.labels.loss.map((loss, number) => (isHidden(loss) ? null : cell(panel, number))),
          )
          .filter((one) => one && known(one.value))
          .map((one) => one.value);
        return {
          rows: losses().map(({ loss }) => loss.name),
          cells,
          span: [Math.min(...values), Math.max(...values)],
          columns: held().map((panel) => ({
            name: at(run, "perturbation", panel.at[2]).name,
            at: `at ${level(levelsOf(panel)[levelsOf(panel).length - 1])}`,
          })),
        };
      },
      sub: () =>
        `${VALUE_NAMES[state.value]} of ${metricOf(run).name} at the hardest level. †: needs caution; empty: no value`,
      label: () =>
        `Heat map. ${title}. ${VALUE_NAMES[state.value]} of ${metricOf(run).name} of each loss under each perturbation at its hardest level; the values are in the table below.`,
      file: () => fileName(run.name, title, "heatmap", metricOf(run).key, state.value),
      table: () => ({
        head: [
          "loss",
          ...held().flatMap((panel) => {
            const name = at(run, "perturbation", panel.at[2]).name;
            return [name, `${name} low`, `${name} high`];
          }),
        ],
        rows: losses().map(({ loss, number }) => [
          loss.name,
          ...held().flatMap((panel) => {
            const one = cell(panel, number);
            return one
              ? known(one.value)
                ? [one.value, one.low, one.high].map((value) =>
                    known(value) ? [printed(value, 4), value] : "",
                  )
                : [one.text, "", ""]
              : ["", "", ""];
          }),
        ]),
      }),
    };
    return chart;
  }

  // ---- Views --------------------------------------------------------------------------------------

  const note = (...content) => html("p", { class: "note" }, ...content);
  function answerView(run) {
    const found = [html("h2", {}, "What the run says")];
    if (!run.answer.length)
      found.push(
        html(
          "p",
          {},
          "No perturbation has level 0 and a higher level, so there is nothing to rank; the values are under Leaderboard and Tables.",
        ),
      );
    for (const one of run.answer) {
      const [few, rest] = [one.panels.slice(0, 4), one.panels.slice(4)];
      found.push(
        html(
          "section",
          { class: "says" },
          html("h3", {}, named(one.perturbation, 90)),
          one.summary ? html("p", { class: "lead" }, one.summary) : null,
          few.map((text) => html("p", { class: one.summary ? null : "lead" }, text)),
          rest.length
            ? html(
                "details",
                {},
                html("summary", {}, `${rest.length} more`),
                rest.map((text) => html("p", {}, text)),
              )
            : null,
        ),
      );
    }
    const table = run.answer.length ? glance(run) : null;
    if (table) found.push(table);
    if (run.claims.rows) found.push(claimsNode(run));
    if (run.care.length)
      found.push(
        html("h2", {}, "Read with care"),
        html(
          "ul",
          { class: "care" },
          run.care.map((text) => html("li", {}, text)),
        ),
      );
    found.push(
      html(
        "details",
        {},
        html("summary", {}, "What the measures mean"),
        html(
          "dl",
          {},
          DATA.measures.map((one) => [
            html("dt", {}, HEADS[one.key]),
            html("dd", {}, `${one.says}. It rewards ${one.rewards}; it hides ${one.hides}.`),
          ]),
        ),
      ),
    );
    return found;
  }

  // Losses by perturbations: what each keeps, or in how many panels no loss beats it.
  function glance(run) {
    const perturbations = run.labels.perturbation
      .map((one, number) => ({
        ...one,
        panels: run.panels.filter((panel) => panel.at[2] === number && (panel.ranks[0] || {}).kept),
      }))
      .filter((one) => one.panels.length);
    if (
      !perturbations.some((one) =>
        one.panels.some((panel) => panel.ranks[0].kept.rows.some((row) => known(row[3]))),
      )
    )
      return null;
    const single = perturbations.every((one) => one.panels.length === 1);
    const rankOf = (panel, loss) => panel.ranks[0].kept.rows.find((row) => row[0] === loss);
    const cell = (one, loss) => {
      if (one.panels.every((panel) => panel.absent.includes(loss)))
        return html("td", { class: "number" }, "n/a");
      const rows = one.panels.map((panel) => rankOf(panel, loss)).filter((row) => row && known(row[2]));
      if (!rows.length) return html("td", { class: "number" }, "–");
      if (!single) {
        if (!rows.some((row) => known(row[3]))) return html("td", { class: "number" }, "untested");
        const n = rows.filter((row) => row[5]).length;
        return html(
          "td",
          { class: "number" },
          n ? html("strong", {}, `${n} of ${rows.length}`) : `0 of ${rows.length}`,
        );
      }
      const [, , score, low, high, top] = rows[0];
      return html(
        "td",
        { class: "number" },
        top ? html("strong", {}, printed(score, 3), "*") : printed(score, 3),
        " ",
        html("span", { class: "ends" }, ends(low, high, 3)),
      );
    };
    const head = perturbations.map((one) =>
      html("th", { scope: "col", class: "number" }, named(one.name, 40)),
    );
    const metric = run.labels.metric[0].name;
    const said = single
      ? `Mean share of its clean ${metric} that each loss keeps up to the hardest level. *: no other loss beats it. Intervals: ${perturbations[0].panels[0].paired}; each one at a time.`
      : `On how many pairs of a data set and a backbone no other loss beats it, by the mean share of its clean ${metric} that it keeps.`;
    const label = "At a glance";
    return html(
      "section",
      {},
      html("h2", {}, label),
      html(
        "div",
        { class: "wide", tabindex: 0, role: "region", "aria-label": label },
        html(
          "table",
          { class: "tight" },
          html("caption", { class: "unseen" }, said),
          html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "loss"), head)),
          html(
            "tbody",
            {},
            run.labels.loss.map((loss, number) =>
              html(
                "tr",
                {},
                html("th", { scope: "row" }, named(loss.name, 40)),
                perturbations.map((one) => cell(one, number)),
              ),
            ),
          ),
        ),
      ),
      note(said),
    );
  }

  function claimsNode(run) {
    const { summary, family, intervals, rows } = run.claims;
    const line = (row) =>
      html(
        "tr",
        {},
        html("td", { class: "claim" }, named(row.says, 200)),
        html("td", {}, named(`${row.dataset}, ${row.backbone}`, 60)),
        html(
          "td",
          {},
          html("span", { class: `verdict ${row.verdict.replace(" ", "-")}` }, row.verdict),
          row.flags
            ? html("span", { class: "flags", title: meanings(row.flags).join("; ") }, ` ${row.flags}`)
            : null,
        ),
        html(
          "td",
          { class: "number" },
          known(row.effect[0])
            ? [
                (row.effect[0] > 0 ? "+" : "") + printed(row.effect[0], 4),
                " ",
                html("span", { class: "ends" }, ends(row.effect[1], row.effect[2], 4)),
              ]
            : "–",
        ),
        html("td", { class: "number" }, known(row.p) ? (row.p < 0.001 ? "<0.001" : printed(row.p, 3)) : "–"),
        html("td", {}, row.beaten_by.join(", ")),
        html("td", {}, named(row.decides, 200)),
      );
    const table = () => ({
      head: [
        "claim",
        "data set",
        "backbone",
        "verdict",
        "about",
        "effect",
        "low",
        "high",
        "p",
        "beaten there by",
        "decides",
        "flags",
      ],
      rows: rows.map((row) => [
        row.says,
        row.dataset,
        row.backbone,
        row.verdict,
        row.about,
        ...row.effect,
        row.p,
        row.beaten_by.join("; "),
        row.decides,
        row.flags,
      ]),
    });
    return html(
      "section",
      {},
      html("h2", {}, "Claims"),
      html("p", { class: "lead" }, summary),
      html(
        "div",
        { class: "wide", tabindex: 0, role: "region", "aria-label": "Claims" },
        html(
          "table",
          {},
          html("caption", { class: "unseen" }, "Claims and verdicts"),
          html(
            "thead",
            {},
            html(
              "tr",
              {},
              ["claim", "where", "verdict", "effect", "p", "beaten there by", "what decides"].map((one) =>
                html("th", { scope: "col", class: one === "effect" || one === "p" ? "number" : null }, one),
              ),
            ),
          ),
          html("tbody", {}, rows.map(line)),
        ),
      ),
      note(
        `p adjusted by Holm over ${family} tests, of all claims and all contradictions. ${intervals.map((one) => `[low, high]: ${one}; each for one comparison, at the decisive level.`).join(" ")}`,
      ),
      html(
        "div",
        { class: "files" },
        button("CSV", () => saveCsv(fileName(run.name, "claims"), table()), "CSV of the claims"),
      ),
    );
  }

  // The legend of printed charts; on the screen the buttons above the charts are one.
  function legendOf(run) {
    const node = html("p", { class: "legend" });
    return blocked(node, () =>
      node.replaceChildren(
        ...run.labels.loss
          .filter((one) => !isHidden(one))
          .map((one) => html("span", {}, swatch(one, isDark()), " ", named(one.name, 40))),
      ),
    );
  }
  const panelled = (run, panels, node) =>
    panels.map((panel) => {
      const made = node(panel);
      made.panel = panel;
      made.run = run;
      return made;
    });
  const grouped = (run) => {
    const found = new Map();
    for (const panel of run.panels) {
      if (levelsOf(panel).length < 2) continue;
      const key = `${panel.at[0]} ${panel.at[1]}`;
      found.set(key, [...(found.get(key) || []), panel]);
    }
    return [...found.values()];
  };
  const nothing = (text) => html("p", { class: "empty" }, text);

  const VIEWS = {
    answer: answerView,
    leaderboard: (run) => [
      html("h2", {}, "Leaderboard"),
      panelled(run, run.panels, (panel) => boardBlock(run, panel)),
      html(
        "div",
        { class: "files" },
        button("All ranks as CSV", () => saveCsv(fileName(run.name, "leaderboard"), allRanks(run))),
      ),
    ],
    curves: (run) => [
      html("h2", {}, "Curves"),
      legendOf(run),
      html(
        "div",
        { class: "charts" },
        panelled(run, run.panels, (panel) => figureOf(curveChart(run, panel), lineChart)),
      ),
    ],
    heatmap: (run) => {
      const groups = grouped(run);
      return [
        html("h2", {}, "Heat map"),
        groups.length
          ? html(
              "div",
              { class: "charts heats" },
              groups.map((panels) => {
                const [node] = panelled(run, [{ at: [panels[0].at[0], panels[0].at[1], null] }], () =>
                  figureOf(heatOf(run, panels), heatChart),
                );
                return node;
              }),
            )
          : nothing("No perturbation has several levels."),
      ];
    },
    diagnostics: (run) => {
      const panels = run.panels.filter((panel) => Object.keys(panel.diagnostics).length);
      return [
        html("h2", {}, "Diagnostics"),
        note(
          "Why a loss is robust, measured by its gradient on each sampled negative of a probe batch that is the same for every loss. Weight, push: slope of the loss in a negative's score; pull: in a positive's.",
        ),
        legendOf(run),
        panels.length
          ? html(
              "div",
              { class: "charts" },
              panelled(run, panels, (panel) => figureOf(diagnosticChart(run, panel), lineChart)),
            )
          : nothing("The run holds no diagnostics."),
      ];
    },
    settings: (run) => [
      html("h2", {}, "Settings"),
      run.settings.length ? run.settings.map((one) => sheetNode(one, run)) : nothing("Nothing was trained."),
    ],
    cautions: (run) => [
      html("h2", {}, "Cautions"),
      run.care.length
        ? html(
            "ul",
            { class: "care" },
            run.care.map((text) => html("li", {}, text)),
          )
        : null,
      run.failures
        ? sheetNode(run.failures, run)
        : html("p", {}, "No cell of the run is recorded as failed."),
      run.cautions.map((one) => sheetNode(one, run)),
    ],
    provenance: (run) => [
      html("h2", {}, "Provenance"),
      run.provenance.map((one) => sheetNode(one, run)),
      html(
        "details",
        { class: "suite" },
        html("summary", {}, "The suite file"),
        html("pre", { tabindex: 0, "aria-label": "The suite file" }, run.suite),
      ),
    ],
    tables: (run) => [
      html("h2", {}, "Tables and data"),
      run.tables.map((one) => sheetNode(one, run)),
      html(
        "section",
        { class: "sheet files-only" },
        html("h3", {}, "All data of the page"),
        html(
          "div",
          { class: "files" },
          button("Ranks (CSV)", () => saveCsv(fileName(run.name, "leaderboard"), allRanks(run))),
          button("Curves (CSV)", () => saveCsv(fileName(run.name, "curves"), allPoints(run))),
          button("Diagnostics (CSV)", () => saveCsv(fileName(run.name, "diagnostics"), allDiagnostics(run))),
          button("Everything (JSON)", () =>
            download(`${fileName(DATA.title)}.json`, "application/json", JSON.stringify(DATA, null, 1)),
          ),
        ),
      ),
    ],
  };
  const AXES = ["dataset", "backbone", "perturbation"];
  const keysOf = (run, panel) => place(run, panel).map((one) => one.key);
  const allRanks = (run) => ({
    head: [
      ...AXES,
      "metric",
      "by",
      "place",
      "loss",
      "score",
      "low",
      "high",
      "top",
      "groups",
      "beaten_by",
      "family",
    ],
    rows: run.panels.flatMap((panel) =>
      Object.entries(panel.ranks).flatMap(([metric, of]) =>
        Object.entries(of).flatMap(([by, held]) =>
          held.rows.map(([loss, rank, score, low, high, top, groups, beaten]) => [
            ...keysOf(run, panel),
            run.labels.metric[metric].key,
            by,
            rank,
            run.labels.loss[loss].key,
            score,
            low,
            high,
            String(top),
            groups,
            beaten.map((one) => run.labels.loss[one].key).join("; "),
            held.family,
          ]),
        ),
      ),
    ),
  });
  const allPoints = (run) => ({
    head: [
      ...AXES,
      "metric",
      "loss",
      "level",
      "realised",
      "replicates",
      "mean",
      "low",
      "high",
      "retention",
      "retention_low",
      "retention_high",
      "excess",
      "excess_low",
      "excess_high",
      "flags",
    ],
    rows: run.panels.flatMap((panel) =>
      [
        [panel.curves, run.labels.loss],
        [panel.baselines, run.labels.baseline],
      ].flatMap(([held, looks]) =>
        Object.entries(held).flatMap(([metric, of]) =>
          Object.entries(of).flatMap(([loss, points]) =>
            points.map((point) => [
              ...keysOf(run, panel),
              run.labels.metric[metric].key,
              looks[loss].key,
              ...point,
            ]),
          ),
        ),
      ),
    ),
  });
  const allDiagnostics = (run) => ({
    head: [...AXES, "diagnostic", "loss", "level", "replicates", "mean", "low", "high"],
    rows: run.panels.flatMap((panel) =>
      Object.entries(panel.diagnostics).flatMap(([name, of]) =>
        Object.entries(of).flatMap(([loss, points]) =>
          points.map((point) => [...keysOf(run, panel), name, run.labels.loss[loss].key, ...point]),
        ),
      ),
    ),
  });
  const plainView = (tab) => [
    html("h2", {}, tab.title),
    tab.intro.map((text) => html("p", {}, text)),
    tab.sheets.length ? tab.sheets.map((one) => sheetNode(one, null)) : nothing("There are none."),
  ];

  // ---- Tools: what a view can be asked --------------------------------------------------------------

  const TOOLS = {
    leaderboard: ["metric", "sort", "dataset", "backbone", "perturbation", "losses", "columns"],
    curves: ["metric", "value", "x", "dataset", "backbone", "perturbation", "losses", "baselines"],
    heatmap: ["metric", "value", "dataset", "backbone", "perturbation", "losses"],
    diagnostics: ["diagnostic", "dataset", "backbone", "perturbation", "losses"],
  };
  const CALLED = {
    metric: "Metric",
    sort: "Sorted by",
    value: "Value",
    x: "Horizontal axis",
    dataset: "Data set",
    backbone: "Backbone",
    perturbation: "Perturbation",
    diagnostic: "Diagnostic",
    run: "Run",
  };
  function choices(run, key) {
    if (key === "value")
      return [
        ["absolute", "absolute"],
        ["retention", "retention"],
        ["excess", "excess over popularity"],
      ];
    if (key === "sort") return [["loss", "loss"], ...DATA.measures.map((one) => [one.key, HEADS[one.key]])];
    if (key === "x")
      return [
        ["level", "level"],
        ["realised", "realised severity"],
      ];
    if (key === "diagnostic") return diagnosticsOf(run).map((name) => [name, DATA.diagnostics[name]]);
    if (key === "run") return DATA.runs.map((one) => [one.name, one.name]);
    const held = run.labels[key].map((one) => [one.key, shortened(one.name, 60)]);
    return key === "metric" ? held : [["", "all"], ...held];
  }
  function selectOf(run, key, isStep = false) {
    const options = choices(run, key);
    const chosen = html(
      "select",
      {
        id: `tool-${key}`,
        on: {
          change: () =>
            change({ [key]: chosen.value, ...(key === "sort" ? sorting(chosen.value) : {}) }, isStep),
        },
      },
      options.map(([value, text]) => html("option", { value }, text)),
    );
    chosen.value = state[key];
    return options.length > (options[0] && options[0][0] === "" ? 2 : 1)
      ? html("label", { class: "tool", for: `tool-${key}` }, CALLED[key], chosen)
      : null;
  }
  // A measure that is sorted by is shown.
  const sorting = (key) => ({ order: "best", column: state.column.filter((one) => one !== key) });
  let sync = [];
  function chip(look, list, pressed) {
    const node = html("button", {
      type: "button",
      class: "chip",
      title: look.name,
      on: { click: () => change({ [list]: toggled(state[list], look.key) }) },
    });
    sync.push(() => {
      node.setAttribute("aria-pressed", String(pressed()));
      node.replaceChildren(swatch(look, isDark()), named(look.name, 32));
    });
    return node;
  }
  const TOOL = {
    losses: (run) =>
      html(
        "div",
        { class: "chips", role: "group", "aria-label": "Losses: press to show or hide" },
        run.labels.loss.map((one) => chip(one, "hide", () => !isHidden(one))),
        button("all", () => change({ hide: [] }), "all: show every loss"),
        button(
          "none",
          () => change({ hide: run.labels.loss.map((one) => one.key) }),
          "none: hide every loss",
        ),
      ),
    baselines: (run) =>
      run.labels.baseline.length
        ? html(
            "div",
            { class: "chips", role: "group", "aria-label": "Baselines: press to show or hide" },
            run.labels.baseline.map((one) => chip(one, "show", () => state.show.includes(one.key))),
          )
        : null,
    columns: () =>
      html(
        "details",
        { class: "tool" },
        html("summary", {}, "Columns"),
        html(
          "fieldset",
          {},
          html("legend", { class: "unseen" }, "Columns of the leaderboard"),
          COLUMNS.map((key) => {
            const box = html("input", {
              type: "checkbox",
              on: { change: () => change({ column: toggled(state.column, key) }) },
            });
            sync.push(() => {
              box.checked = !state.column.includes(key);
            });
            return html("label", {}, box, HEADS[key]);
          }),
        ),
      ),
  };
  let toolsOf = "";
  function renderTools(run) {
    const wanted = TOOLS[state.tab] || [];
    if (toolsOf !== `${state.run} ${state.tab}`) {
      toolsOf = `${state.run} ${state.tab}`;
      sync = [];
      const made = IS_REPORT
        ? wanted.map((key) => (TOOL[key] || ((of) => selectOf(of, key)))(run)).filter(Boolean)
        : [];
      byId("tools").replaceChildren(...made);
      byId("tools").hidden = !made.length;
    }
    for (const key of wanted) {
      const held = byId(`tool-${key}`);
      if (held) held.value = state[key];
    }
    sync.forEach((act) => act());
  }

  // ---- The page ---------------------------------------------------------------------------------

  const views = new Map(); // "run tab" -> its element
  function viewOf(run, tab) {
    const key = `${run ? run.name : ""} ${tab}`;
    if (!views.has(key)) {
      const content = IS_REPORT ? VIEWS[tab](run) : plainView(DATA.tabs.find((one) => one.key === tab));
      const node = html(
        "section",
        {
          role: "tabpanel",
          id: `view-${views.size}`,
          "aria-labelledby": `tab-${tab}`,
          class: `view ${tab}`,
          hidden: true,
        },
        content,
      );
      views.set(key, node);
      byId("main").append(node);
    }
    return views.get(key);
  }
  function filtered(run, node) {
    for (const one of node.querySelectorAll(".board, .chart")) {
      if (one.panel)
        one.hidden = !["dataset", "backbone", "perturbation"].every(
          (axis, i) =>
            !state[axis] || one.panel.at[i] === null || at(run, axis, one.panel.at[i]).key === state[axis],
        );
    }
  }
  const tabs = TABS.map(([key, title]) =>
    html(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${key}`,
        on: { click: () => change({ tab: key }, true), keydown: stepTab },
      },
      title,
    ),
  );
  function stepTab(event) {
    const now = TABS.findIndex(([key]) => key === state.tab);
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: TABS.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const to = (next + TABS.length) % TABS.length;
    change({ tab: TABS[to][0] }, true);
    tabs[to].focus();
  }
  byId("tabs").append(html("div", { role: "tablist", "aria-label": "Parts of the page" }, tabs));

  let leadOf = null;
  function renderLead(run) {
    if (leadOf === state.run && leadOf !== null) return;
    leadOf = state.run || "";
    if (!run) {
      byId("lead").replaceChildren(...DATA.lead.map((text) => html("p", {}, text)));
      return;
    }
    byId("lead").replaceChildren(
      DATA.runs.length > 1 ? selectOf(run, "run", true) : "",
      run.about ? html("p", { class: "about" }, named(run.about, 600)) : "",
      html("p", { class: "state" }, `${run.state}. `, facts(run)),
      run.warning ? html("p", { class: "warning" }, run.warning) : "",
    );
  }
  const facts = (run) => {
    const count = (axis, what) => plural(run.labels[axis].length, what);
    return `${count("dataset", "data set")}, ${count("backbone", "backbone")}, ${run.labels.loss.length === 1 ? "1 loss" : `${run.labels.loss.length} losses`}, ${count("perturbation", "perturbation")}.`;
  };

  function render() {
    const began = performance.now();
    const run = runNamed(state.run);
    renderLead(run);
    tabs.forEach((tab, i) => {
      const chosen = TABS[i][0] === state.tab;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
    });
    renderTools(run);
    const view = viewOf(run, state.tab);
    tabs[TABS.findIndex(([key]) => key === state.tab)].setAttribute("aria-controls", view.id);
    for (const one of views.values()) one.hidden = one !== view;
    if (run) filtered(run, view);
    hideTip();
    repaint();
    byId("main").dataset.rendered = (performance.now() - began).toFixed(1);
  }

  const opened = []; // what is folded on the screen, and not on paper
  function renderAll() {
    isPrinting = true;
    const run = runNamed(state.run);
    const shown = TABS.map(([key]) => viewOf(run, key));
    for (const one of views.values()) one.hidden = !shown.includes(one);
    if (run) shown.forEach((one) => filtered(run, one));
    for (const one of document.querySelectorAll(".answer details:not([open]), .suite:not([open])")) {
      one.open = true;
      opened.push(one);
    }
    repaint(true);
  }
  addEventListener("beforeprint", renderAll);
  addEventListener("afterprint", () => {
    isPrinting = false;
    while (opened.length) opened.pop().open = false;
    render();
  });
  darkened.addEventListener("change", () => {
    if (!isPrinting) render();
  });
  render();
})();
