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

