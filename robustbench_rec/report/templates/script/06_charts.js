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

