let live;
document.body.addEventListener("livesim:frame", ({ detail }) => {
  live = detail.live;
  document.getElementById("own").textContent = `${detail.state.marked.length} marked`;
});
document.getElementById("mark").onclick = () => live.send("mark", { node: "n11" });
