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
    byId("lead").replaceChildren(DATA.runs.length > 1 ? selectOf(run, "run", true) : "", ...leadNodes(run));
  }
  const leadNodes = (run) => [
    run.about ? html("p", { class: "about" }, named(run.about, 600)) : "",
    html("p", { class: "state" }, `${run.state}. `, facts(run)),
    run.warning ? html("p", { class: "warning" }, run.warning) : "",
  ];
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

  // What stands on paper before the parts of each of several runs.
  function headOf(run) {
    const key = `${run.name} on paper`;
    if (!views.has(key))
      views.set(key, html("section", { class: "view head" }, html("h1", {}, named(run.name, 200)), leadNodes(run)));
    return views.get(key);
  }
  const opened = []; // what is folded on the screen, and not on paper
  function renderAll() {
    isPrinting = true;
    const runs = IS_REPORT ? DATA.runs : [runNamed(state.run)];
    const parts = (run) => TABS.map(([key]) => viewOf(run, key));
    const shown = runs.flatMap((run) => (runs.length > 1 ? [headOf(run), ...parts(run)] : parts(run)));
    byId("main").append(...shown);
    byId("lead").hidden = runs.length > 1;
    for (const one of views.values()) one.hidden = !shown.includes(one);
    for (const run of runs) if (run) parts(run).forEach((one) => filtered(run, one));
    for (const one of document.querySelectorAll(".answer details:not([open]), .suite:not([open])")) {
      one.open = true;
      opened.push(one);
    }
    repaint(true);
  }
  addEventListener("beforeprint", renderAll);
  addEventListener("afterprint", () => {
    isPrinting = false;
    byId("lead").hidden = false;
    while (opened.length) opened.pop().open = false;
    render();
  });
  darkened.addEventListener("change", () => {
    if (!isPrinting) render();
  });
  render();
})();
