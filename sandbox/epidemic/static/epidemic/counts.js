// Counts the people of each kind, in the page of the simulation's own.

document.body.addEventListener("livesim:frame", ({ detail: { state } }) => {
  const healths = Object.values(state.people).map((person) => person.health);
  for (const place of document.querySelectorAll("[data-health]")) {
    place.textContent = healths.filter((health) => health === place.dataset.health).length;
  }
});
