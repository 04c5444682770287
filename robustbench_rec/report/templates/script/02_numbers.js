  // ---- Numbers --------------------------------------------------------------------------------

  const known = (value) => value !== null && value !== undefined;
  const digitsOf = (measure) => (measure === "value" || measure === "mean" ? 4 : 3);
  const printed = (value, digits) => (known(value) ? value.toFixed(digits) : "–");
  const level = (value) => String(Number(value.toPrecision(6)));
  const ends = (low, high, digits) =>
    known(low) && known(high) ? `[${printed(low, digits)}, ${printed(high, digits)}]` : "";
  const plural = (n, what) => `${n} ${n === 1 ? what : `${what}s`}`;

