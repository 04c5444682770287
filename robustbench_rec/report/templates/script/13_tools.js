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

