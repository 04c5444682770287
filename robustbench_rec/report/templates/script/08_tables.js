  // ---- Tables -----------------------------------------------------------------------------------

  const isNumber = (cell) => Array.isArray(cell) || typeof cell === "number";
  const MARKED = { best: "strong", second: "u" };
  function cellNode(cell) {
    if (!isNumber(cell)) return html("td", {}, named(String(cellText(cell)), 600));
    const text = String(cellText(cell));
    return html(
      "td",
      { class: "number" },
      Array.isArray(cell) && cell[2] ? html(MARKED[cell[2]], {}, text) : text,
    );
  }
  function plainTable(table, label) {
    return html(
      "div",
      { class: "wide", tabindex: 0, role: "region", "aria-label": label },
      html(
        "table",
        {},
        html("caption", { class: "unseen" }, label),
        html(
          "thead",
          {},
          html(
            "tr",
            {},
            table.head.map((one) =>
              html("th", { scope: "col" }, one || html("span", { class: "unseen" }, "item")),
            ),
          ),
        ),
        html(
          "tbody",
          {},
          table.rows.map((row) => html("tr", {}, row.map(cellNode))),
        ),
      ),
    );
  }

  function compared(one, other) {
    const [a, b] = [cellValue(one), cellValue(other)];
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? -1 : 1;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  // A sheet: a table that any of its headings sorts.
  function sheetNode(sheet, run) {
    const body = html("tbody");
    const heads = sheet.head.map((name, at) => {
      const numeric = sheet.rows.some((row) => isNumber(row[at]));
      const press = () => {
        const now = state.sorted[sheet.name];
        const next = now === `${at}u` ? `${at}d` : now === `${at}d` ? null : `${at}u`;
        const { [sheet.name]: _, ...rest } = state.sorted;
        change({ sorted: next ? { ...rest, [sheet.name]: next } : rest });
      };
      return html("th", { scope: "col", class: numeric ? "number" : null }, button(name || "item", press));
    });
    const node = html(
      "section",
      { class: "sheet" },
      html("h3", {}, sheet.title),
      html(
        "div",
        { class: "wide", tabindex: 0, role: "region", "aria-label": sheet.title },
        html(
          "table",
          {},
          html("caption", { class: "unseen" }, sheet.title),
          html("thead", {}, html("tr", {}, heads)),
          body,
        ),
      ),
      sheet.notes ? note(sheet.notes) : null,
      html(
        "div",
        { class: "files" },
        button(
          "CSV",
          () => saveCsv(fileName(run ? run.name : DATA.title, sheet.name), sheet),
          `CSV of ${sheet.title}`,
        ),
      ),
    );
    return blocked(node, () => {
      const by = state.sorted[sheet.name];
      const at = by ? parseInt(by, 10) : -1;
      const sign = by && by.endsWith("d") ? -1 : 1;
      const rows =
        at >= 0 && at < sheet.head.length
          ? [...sheet.rows].sort((one, other) => sign * compared(one[at], other[at]))
          : sheet.rows;
      heads.forEach((head, column) =>
        head.setAttribute("aria-sort", column === at ? (sign > 0 ? "ascending" : "descending") : "none"),
      );
      body.replaceChildren(...rows.map((row) => html("tr", {}, row.map(cellNode))));
    });
  }

