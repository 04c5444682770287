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

