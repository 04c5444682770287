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

