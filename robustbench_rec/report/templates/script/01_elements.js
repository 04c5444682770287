  // ---- Elements -------------------------------------------------------------------------------

  function fill(node, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "on") {
        for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
      } else if (value !== undefined && value !== null && value !== false) {
        node.setAttribute(key, value === true ? "" : value);
      }
    }
    node.append(
      ...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false),
    );
    return node;
  }
  const html = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) =>
    fill(document.createElementNS(SVG, tag), attributes, children);
  const named = (text, most = 60) =>
    html(
      "span",
      { dir: "auto", class: "name", title: text.length > most ? text : null },
      shortened(text, most),
    );
  const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

