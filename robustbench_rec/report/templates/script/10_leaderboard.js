  // ---- Leaderboard ---------------------------------------------------------------------------------

  const MEASURES = IS_REPORT ? DATA.measures.map((one) => one.key) : [];
  const COLUMNS = ["groups", "interval", ...MEASURES, "beaten"];
  const HEADS = {
    groups: "group",
    interval: "interval",
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

