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
                known(row.at) ? ` at ${row.at}` : "",
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
        "at",
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
        row.at,
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
        `p adjusted by Holm over ${family} tests, of all claims and all contradictions. ${rows.some((row) => known(row.at)) ? "At a level: the one that decides, where the effect is surest against the claim, or else least certain. " : ""}[low, high]: ${intervals.join(", or ")}; each for one comparison.`,
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
    tab.sheets.length || tab.key === "add"
      ? tab.sheets.map((one) => sheetNode(one, null))
      : nothing("There are none."),
  ];

