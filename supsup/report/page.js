
const table = document.getElementById("table");
if (table) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const shown = document.getElementById("shown");
  const filter = document.getElementById("filter");
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = new Map(rows.map((row) => [row, row.cells[at].dataset.value]));
    const numeric = rows.every((row) => key.get(row) === "" || !isNaN(key.get(row)));
    rows.sort((a, b) => {
      const [x, y] = [key.get(a), key.get(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = numeric ? x - y : x.localeCompare(y, undefined, { numeric: true });
      return down ? -order : order;
    });
    body.append(...rows);
  }));
  const choose = () => {
    let count = 0;
    for (const row of rows) {
      row.hidden = !row.cells[1].textContent.includes(filter.value);
      count += !row.hidden;
    }
    shown.textContent = `${count} of ${rows.length}`;
  };
  filter.addEventListener("input", choose);
  choose();
}
