  // ---- Blocks: parts of a view that are painted when they come into sight, then when idle ----------

  const blocks = new Map(); // element -> { paint, stale, seen }
  const sight = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const block = blocks.get(entry.target);
        if (!block) continue;
        block.seen = entry.isIntersecting;
        if (block.seen) painted(block);
      }
    },
    { rootMargin: "150px" },
  );
  let nPainted = 0;
  let isWaiting = false;
  const idle = (act) =>
    window.requestIdleCallback ? requestIdleCallback(act, { timeout: 150 }) : setTimeout(act, 30);

  function painted(block) {
    if (!block.stale || !block.node.isConnected) return;
    block.stale = false;
    nPainted += 1;
    block.paint();
  }
  function blocked(node, paint) {
    const block = { node, paint, stale: true, seen: false };
    blocks.set(node, block);
    sight.observe(node);
    return node;
  }
  function repaint(all = false) {
    nPainted = 0;
    const began = performance.now();
    for (const block of blocks.values()) {
      block.stale = true;
      if (all || (block.seen && isShown(block.node))) painted(block);
    }
    byId("main").dataset.painted = String(nPainted);
    byId("main").dataset.milliseconds = (performance.now() - began).toFixed(1);
    if (!isWaiting) {
      isWaiting = true;
      byId("main").dataset.waiting = "true";
      idle(paintSome);
    }
  }
  const isShown = (node) => !node.closest("[hidden]");
  function paintSome() {
    const began = performance.now();
    let left = false;
    for (const block of blocks.values()) {
      if (!block.stale || !isShown(block.node)) continue;
      if (performance.now() - began > 12) {
        left = true;
        break;
      }
      painted(block);
    }
    isWaiting = left;
    byId("main").dataset.waiting = String(left);
    if (left) idle(paintSome);
  }

