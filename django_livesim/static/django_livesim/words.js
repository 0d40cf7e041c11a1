/** The page's translated texts, which the template gives as JSON. */

const source = document.getElementById("livesim-words");
const words = source ? JSON.parse(source.textContent) : {};

/** The text of that name with its {places} filled; where there is none, `otherwise`. */
export function say(name, places = {}, otherwise = name) {
  return (words[name] ?? otherwise).replace(/\{(\w+)\}/g, (whole, place) => places[place] ?? whole);
}
