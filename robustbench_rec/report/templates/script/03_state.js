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

