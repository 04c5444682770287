"use strict";
(() => {
  // The content of the page. All text of it becomes text nodes and attributes, never markup.
  const DATA = JSON.parse(document.getElementById("content").textContent);
  const IS_REPORT = DATA.kind === "report";
  const byId = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";

