  // ---- Files ------------------------------------------------------------------------------------

  const button = (text, act, label) =>
    html("button", { type: "button", "aria-label": label || null, on: { click: act } }, text);
  function download(name, type, content) {
    const address = URL.createObjectURL(new Blob([content], { type }));
    html("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }
  const pictured = (chart, draw) => new XMLSerializer().serializeToString(draw(chart, false, true).root);
  function saveImage(name, source) {
    const image = new Image();
    image.addEventListener("load", () => {
      const canvas = html("canvas", { width: image.width * 2, height: image.height * 2 });
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => download(name, "image/png", blob), "image/png");
    });
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(source)}`;
  }
  const cellText = (cell) => (Array.isArray(cell) ? cell[0] : known(cell) ? cell : "");
  const cellValue = (cell) => (Array.isArray(cell) ? cell[1] : known(cell) ? cell : "");
  function quoted(cell) {
    const value = cellValue(cell);
    if (typeof value === "number") return String(value);
    const text = /^\s*[=+\-@]/.test(value) ? `'${value}` : value; // no formula in a spreadsheet
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }
  const csv = (table) =>
    [table.head, ...table.rows].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  const saveCsv = (name, table) => download(`${name}.csv`, "text/csv", csv(table));
  const fileName = (...parts) =>
    parts
      .join("-")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}]+/gu, "-")
      .replace(/^-|-$/g, "")
      .slice(0, 120);

