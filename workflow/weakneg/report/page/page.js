"use strict";
{
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const charts = read("charts");
  const data = read("data");
  const control = (name) => document.getElementById(`choose-${name}`);

  // Copies of a control follow it, and it follows them. Without it, the first copy takes its place.
  for (const copy of all("[data-same-as]")) {
    const original = document.getElementById(copy.dataset.sameAs);
    if (!original) {
      copy.id = copy.dataset.sameAs;
      continue;
    }
    copy.addEventListener("input", () => {
      original.value = copy.value;
      original.dispatchEvent(new Event("input"));
    });
    original.addEventListener("input", () => (copy.value = original.value));
  }

  // The library binds the parameters of charts to the controls. Each chart is a task of its own, so
  // that the page can be read and used while they are drawn.
  const draw = async () => {
    for (const element of all("[data-chart]")) {
      const spec = charts[element.dataset.chart];
      const text = JSON.stringify(spec);
      const named = Object.entries(data).filter(([name]) => text.includes(`"name":"${name}"`));
      const datasets = structuredClone(Object.fromEntries(named));
      await new Promise((resolve) => setTimeout(resolve));
      await vegaEmbed(element, { ...spec, datasets }, { ast: true, renderer: "svg", actions: false });
    }
  };
  draw();

  const study = read("summary").name;
  const key = (mark) =>
    JSON.stringify(["weakneg", study, mark.closest("[data-class]").dataset.class, mark.dataset.id]);
  const recall = (mark) => (mark.value = localStorage.getItem(key(mark)) ?? "");

  // Tables of other classes are text until they are chosen: elements for all would take seconds.
  const bring = (part) => {
    part.insertAdjacentHTML("beforebegin", part.textContent);
    all("[data-mark]", part.previousElementSibling).forEach(recall);
    part.remove();
  };

  // On the screen, a table is that of the chosen class, with the rows of the chosen strategy that
  // have all words of the filter. On paper there is no choice: all are shown.
  let choosing = true;
  const chosen = ({ dataset }, key) => {
    const value = control(`chosen_${key}`)?.value;
    return !choosing || !(key in dataset) || value === undefined || dataset[key] === value;
  };
  const show = (table) => {
    all("noscript", table).filter((part) => chosen(part, "class")).forEach(bring);
    for (const part of all(".scroll", table)) part.hidden = !chosen(part, "class");
    for (const header of all("[aria-sort]", table).slice(0, 1)) {
      sort(header, header.ariaSort === "descending");
    }
    const words = (all("[data-filter]", table)[0]?.value ?? "").toLowerCase().split(/\s+/);
    for (const row of all("tbody tr", table)) {
      const text = row.textContent.toLowerCase();
      row.hidden = !chosen(row, "strategy") || !words.every((word) => text.includes(word));
    }
  };
  const tables = all(".table");
  for (const table of tables) {
    all("[data-filter]", table)[0]?.addEventListener("input", () => show(table));
  }
  for (const name of ["class", "strategy"]) {
    control(`chosen_${name}`)?.addEventListener("input", () => tables.forEach(show));
  }
  const showMetric = () => {
    for (const part of all("[data-metric]")) {
      part.hidden = part.dataset.metric !== control("metric").value;
    }
  };
  control("metric")?.addEventListener("input", showMetric);
  if (control("metric")) showMetric();

  const nothing = document.getElementById("nothing-in-common");
  if (nothing) {
    const chosenStudies = ["study_a", "study_b"].map(control);
    const compare = () => {
      const [a, b] = chosenStudies.map(({ value }) =>
        data.cells.filter(({ study }) => study === value).map((row) => row.class + "\n" + row.strategy),
      );
      nothing.hidden = a.some((cell) => b.includes(cell));
    };
    for (const each of chosenStudies) each.addEventListener("input", compare);
  }

  // A small note follows the text of some cells.
  const value = (cell) => cell.dataset.value ?? (cell.firstChild?.textContent ?? "").trim();

  // Sort by a column: text up first, numbers down first; empty cells stay last.
  const sort = (header, down) => {
    const column = header.cellIndex;
    const numeric = header.classList.contains("number");
    const compare = (a, b) => {
      const [x, y] = [a, b].map((row) => value(row.cells[column]));
      if (x === "" || y === "") return (x === "") - (y === "");
      return (down ? -1 : 1) * (numeric ? x - y : x.localeCompare(y, "en", { numeric: true }));
    };
    for (const { tHead, tBodies } of all("table", header.closest(".table"))) {
      for (const other of tHead.rows[0].cells) other.removeAttribute("aria-sort");
      tHead.rows[0].cells[column].ariaSort = down ? "descending" : "ascending";
      tBodies[0].append(...[...tBodies[0].rows].sort(compare));
    }
  };
  document.addEventListener("click", ({ target }) => {
    const header = target.closest("[data-sort]")?.closest("th");
    if (!header) return;
    const numeric = header.classList.contains("number");
    sort(header, header.ariaSort ? header.ariaSort === "ascending" : numeric);
  });
  all("[data-mark]").forEach(recall);
  tables.forEach(show);
  for (const event of ["beforeprint", "afterprint"]) {
    addEventListener(event, () => {
      choosing = event === "afterprint";
      tables.forEach(show);
    });
  }

  // Download what is shown.
  const save = (name, rows) => {
    const quoted = (value) => {
      const text = String(value ?? "");
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const text = rows.map((row) => row.map(quoted).join(",") + "\n").join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${name}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  for (const button of all("[data-csv]")) {
    button.addEventListener("click", () => {
      const table = button.closest(".table").querySelector(".scroll:not([hidden]) table");
      const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
      const cells = (row) => [...row.cells].filter((cell) => !cell.querySelector("button, select"));
      const titles = [...table.tHead.rows[0].cells].filter((cell) => cell.querySelector("button"));
      const header = titles.map((cell) => cell.textContent.trim());
      save(button.dataset.csv, [header, ...rows.map((row) => cells(row).map(value))]);
    });
  }
  for (const button of all("[data-rows]")) {
    button.addEventListener("click", () => {
      const { rows: name, by } = button.dataset;
      const rows = data[name]
        .filter((row) => !by || row[by] === control(`chosen_${by}`).value)
        .filter((row) => !("metric" in row) || row.metric === control("metric").value)
        .flatMap((row) => (row.epoch ?? [0]).map?.((_, n) =>
          Object.fromEntries(
            Object.entries(row).map(([key, value]) => [key, Array.isArray(value) ? value[n] : value]),
          ),
        ) ?? [row]);
      const keys = Object.keys(rows[0] ?? {});
      save(name, [keys, ...rows.map((row) => keys.map((key) => row[key]))]);
    });
  }

  // Play a clip, with its spectrogram.
  const player = document.getElementById("player");
  const pictured = all("[data-picture]");
  const pictures = pictured.length ? read("sounds") : {};
  for (const button of pictured) {
    const image = document.createElement("img");
    image.alt = "";
    image.src = `data:image/png;base64,${pictures[button.dataset.play].picture}`;
    button.prepend(image);
  }
  document.addEventListener("click", (event) => {
    const clip = event.target.closest("[data-play]")?.dataset.play;
    if (clip === undefined) return;
    const { sound, picture } = read("sounds")[clip];
    player.querySelector("strong").textContent = clip;
    player.querySelector("img").src = `data:image/png;base64,${picture}`;
    const audio = player.querySelector("audio");
    audio.src = `data:audio/mpeg;base64,${sound}`;
    player.hidden = false;
    audio.play();
  });
  player?.querySelector("button").addEventListener("click", () => {
    player.querySelector("audio").pause();
    player.hidden = true;
  });

  // What was heard is kept by the browser, and saved as a list that the workflow reads: the class is
  // in the column of the answer.
  document.addEventListener("input", ({ target }) => {
    if ("mark" in target.dataset) localStorage.setItem(key(target), target.value);
  });
  all("[data-save-marks]")[0]?.addEventListener("click", () => {
    const marked = (mark) => mark.closest("[data-class]").dataset.class;
    const marks = all("[data-mark]");
    const name = control("chosen_class")?.value ?? marked(marks[0]);
    const answers = { yes: "labels", no: "negatives", unsure: "unsure" };
    const rows = marks
      .filter((mark) => marked(mark) === name && mark.value in answers)
      .map((mark) => [
        mark.dataset.id,
        mark.dataset.start,
        ...Object.keys(answers).map((answer) => (mark.value === answer ? name : "")),
      ]);
    const slug = name.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "");
    save(`heard_${slug}`, [["id", "start", ...Object.values(answers)], ...rows]);
  });
}
