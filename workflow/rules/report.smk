# From the scores and selections of all runs to metrics, tables and figures.


rule collect_metrics:
    input:
        of_results(
            "run_files",
            ["scores.parquet", "history.parquet", "timing.parquet", "run.json"],
        ),
    output:
        "results/{study}/metrics.csv",
    log:
        "results/{study}/logs/collect_metrics.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        runs=of_results("run_pairs"),
        code=checked(code, "collect_metrics"),
    shell:
        "python -m weakneg collect_metrics --runs {params.runs} --output {output}"
        " --code {params.code} 2> {log}"


rule write_tables:
    input:
        "results/{study}/metrics.csv",
    output:
        expand("results/{{study}}/tables/{table}", table=TABLES),
    log:
        "results/{study}/logs/write_tables.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        folder=subpath(output[0], parent=True),
        settings=of_results("report"),
        code=checked(code, "write_tables"),
    shell:
        "python -m weakneg write_tables --metrics {input} --settings {params.settings:q}"
        " --folder {params.folder} --code {params.code} 2> {log}"


# Which bags the strategies chose, how much their selections overlap, and which negatives recur.
rule audit_selections:
    input:
        of_results("run_files", ["selection.h5", "run.json"]),
        of_results("ontology_files"),
        manifests=of_results("manifests", "train"),
    output:
        expand("results/{{study}}/tables/{table}", table=AUDIT_TABLES),
    log:
        "results/{study}/logs/audit_selections.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        runs=of_results("run_pairs"),
        settings=of_results("report"),
        dataset=lambda wildcards: results_of(wildcards.study).study.dataset.name,
        data_folder=of_results("data_folder"),
        folder=subpath(output[0], parent=True),
        code=lambda wildcards: checked(lambda: results_of(wildcards.study).audit_code),
    shell:
        "python -m weakneg audit_selections --runs {params.runs} --manifests {input.manifests}"
        " --settings {params.settings:q} --dataset {params.dataset}"
        " --data-folder {params.data_folder:q} --folder {params.folder}"
        " --code {params.code} 2> {log}"


# Thresholds from the validation bags, and whether scores are the chances that they seem to be.
rule calibrate_scores:
    input:
        of_results("run_files", ["model.pt", "scores.parquet"]),
    output:
        thresholds="results/{study}/tables/thresholds.csv",
        reliability="results/{study}/tables/reliability.csv",
    log:
        "results/{study}/logs/calibrate_scores.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        runs=of_results("run_pairs"),
        code=checked(code, "calibrate_scores"),
    shell:
        "python -m weakneg calibrate_scores --runs {params.runs} --thresholds {output.thresholds}"
        " --reliability {output.reliability} --code {params.code} 2> {log}"


# What became of the hidden positives, of studies that hide some.
rule audit_hidden:
    input:
        of_results("run_files", ["selection.h5", "run.json"]),
        metrics="results/{study}/metrics.csv",
    output:
        expand("results/{{study}}/tables/{table}", table=HIDDEN_TABLES),
    log:
        "results/{study}/logs/audit_hidden.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        runs=of_results("run_pairs"),
        settings=of_results("report"),
        folder=subpath(output[0], parent=True),
        code=checked(code, "audit_hidden"),
    shell:
        "python -m weakneg audit_hidden --runs {params.runs} --metrics {input.metrics}"
        " --settings {params.settings:q} --folder {params.folder} --code {params.code} 2> {log}"


# What methods make of partly unknown labels, in studies of many classes.
rule audit_partial:
    input:
        of_results("run_files", ["selection.h5", "run.json"]),
        metrics="results/{study}/metrics.csv",
    output:
        expand("results/{{study}}/tables/{table}", table=PARTIAL_TABLES),
    log:
        "results/{study}/logs/audit_partial.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        runs=of_results("run_pairs"),
        settings=of_results("report"),
        folder=subpath(output[0], parent=True),
        code=checked(code, "audit_partial"),
    shell:
        "python -m weakneg audit_partial --runs {params.runs} --metrics {input.metrics}"
        " --settings {params.settings:q} --folder {params.folder} --code {params.code} 2> {log}"


# What each budget costs and brings, in studies of budgets.
rule compare_budgets:
    input:
        of_results("run_files", ["history.parquet", "timing.parquet", "run.json"]),
        metrics="results/{study}/metrics.csv",
    output:
        expand("results/{{study}}/tables/{table}", table=BUDGET_TABLES),
    log:
        "results/{study}/logs/compare_budgets.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        runs=of_results("run_pairs"),
        settings=of_results("report"),
        folder=subpath(output[0], parent=True),
        code=checked(code, "compare_budgets"),
    shell:
        "python -m weakneg compare_budgets --runs {params.runs} --metrics {input.metrics}"
        " --settings {params.settings:q} --folder {params.folder} --code {params.code} 2> {log}"


# Test clips that are probably positive, though their labels say that they are negative.
rule list_suspects:
    input:
        of_results("run_files", ["scores.parquet", "run.json"]),
        of_results("ontology_files"),
        manifests=of_results("manifests", "test"),
        heard=of_results("truth_list"),
    output:
        expand("results/{{study}}/tables/{table}", table=SUSPECT_TABLES),
    log:
        "results/{study}/logs/list_suspects.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        runs=of_results("run_pairs"),
        settings=of_results("report"),
        classes=of_results("judged_classes"),
        dataset=lambda wildcards: results_of(wildcards.study).study.dataset.name,
        data_folder=of_results("data_folder"),
        folder=subpath(output[0], parent=True),
        code=lambda wildcards: checked(lambda: results_of(wildcards.study).suspects_code),
    shell:
        "python -m weakneg list_suspects --runs {params.runs} --manifests {input.manifests}"
        " --heard {input.heard:q} --classes {params.classes:q} --settings {params.settings:q}"
        " --dataset {params.dataset} --data-folder {params.data_folder:q} --folder {params.folder}"
        " --code {params.code} 2> {log}"


rule fetch_truth:
    output:
        "resources/truth/{list}.tsv",
    log:
        "resources/truth/{list}.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        list=lambda wildcards: wildcards.list,
    shell:
        "python -m weakneg fetch_truth --name {params.list} --output {output} 2> {log}"


# The models and the labels of a study, judged by people who listened to test clips.
rule judge_truth:
    input:
        of_results("run_files", ["scores.parquet", "run.json"]),
        manifests=of_results("manifests", "test"),
        heard=of_results("truth_list"),
    output:
        expand("results/{{study}}/tables/{table}", table=TRUTH_TABLES),
    log:
        "results/{study}/logs/judge_truth.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        runs=of_results("run_pairs"),
        settings=of_results("report"),
        classes=of_results("judged_classes"),
        folder=subpath(output[0], parent=True),
        code=checked(code, "judge_truth"),
    shell:
        "python -m weakneg judge_truth --runs {params.runs} --manifests {input.manifests}"
        " --heard {input.heard:q} --classes {params.classes:q} --settings {params.settings:q}"
        " --folder {params.folder} --code {params.code} 2> {log}"


# Where models of many classes hear, or see, the classes of a bag.
for stage, tables in LOCALISATION_TABLES.items():

    rule:
        name:
            stage
        input:
            of_results("run_files", ["model.pt"]),
            of_results("truth_list"),
            store="results/{study}/features/test.h5",
            manifest=lambda wildcards: results_of(wildcards.study).manifest("test", "all_classes"),
        output:
            expand("results/{{study}}/tables/{table}", table=tables),
        log:
            f"results/{{study}}/logs/{stage}.log",
        conda:
            "../../envs/weakneg.yaml"
        threads: 1
        resources:
            gpu=1,
            mem_mb=grows_from(4000),
            runtime=grows_from(60),
        params:
            stage=stage,
            runs=of_results("run_pairs"),
            model_settings=settings_of(stages.ScoreSettings),
            settings=of_results("report"),
            options=of_results("localisation_options"),
            folder=subpath(output[0], parent=True),
            code=lambda wildcards, stage=stage: checked(
                code, stage, settings(stages.ScoreSettings, wildcards.study).plugins
            ),
        shell:
            "python -m weakneg {params.stage} --runs {params.runs} --store {input.store}"
            " --manifest {input.manifest} --model-settings {params.model_settings:q}"
            " --settings {params.settings:q} {params.options:q} --folder {params.folder}"
            " --threads {threads} --code {params.code} 2> {log}"


for figure in figures.names():
    wanted = figures.inputs(figure)
    files = {name: results.FIGURE_INPUTS[name] for name in wanted if name != "runs"}

    rule:
        name:
            f"draw_{figure}"
        input:
            (
                of_results("run_files", ["history.parquet", "timing.parquet", "run.json"])
                if "runs" in wanted
                else []
            ),
            **files,
        output:
            report(
                f"results/{{study}}/figures/{figure}.png",
                category="{study}",
                subcategory="Figures",
                labels={"figure": figure.replace("_", " ")},
                caption=f"../report/{figure}.rst",
            ),
            expand(
                "results/{{study}}/figures/{figure}.{ext}",
                figure=figure,
                ext=[ext for ext in FORMATS if ext != "png"],
            ),
            results.figure_tables(figure),
        log:
            f"results/{{study}}/logs/draw_{figure}.log",
        localrule: "train_store" not in wanted
        conda:
            "../../envs/weakneg.yaml"
        params:
            figure=figure,
            inputs=lambda _, input, files=files: [
                word for name in files for word in (f"--{name.replace('_', '-')}", input[name])
            ],
            runs=of_results("run_pairs") if "runs" in wanted else [],
            outputs=lambda _, output: [file for file in output if not file.endswith(".csv")],
            table=lambda _, output: [file for file in output if file.endswith(".csv")],
            settings=of_results("figure_settings"),
            code=checked(code, "draw_figure", [f"figures.{figure}"]),
        shell:
            "python -m weakneg draw_figure --name {params.figure} {params.inputs}"
            " --runs {params.runs} --settings {params.settings:q} --outputs {params.outputs}"
            " --table {params.table} --code {params.code} 2> {log}"


# The sound of the clips that the page lists.
rule cut_sounds:
    input:
        status=of_results("status_tables"),
        suspects="results/{study}/tables/suspects.csv",
        most_selected="results/{study}/tables/most_selected.csv",
    output:
        "results/{study}/audio/sounds.json",
    log:
        "results/{study}/logs/cut_sounds.log",
    conda:
        "../../envs/weakneg.yaml"
    params:
        settings=settings_of(stages.ShardSettings),
        code=checked(code, "cut_sounds"),
    shell:
        "python -m weakneg cut_sounds --status {input.status} --settings {params.settings:q}"
        " --suspects {input.suspects} --most-selected {input.most_selected} --output {output}"
        " --code {params.code} 2> {log}"


# The page that shows all of it: results/<study>/report.html.
rule write_report:
    input:
        of_results("run_files", ["history.parquet", "run.json"]),
        metrics="results/{study}/metrics.csv",
        tables=of_results("csv_tables"),
        figures=of_results("svg_figures"),
        sounds=of_results("sounds"),
    output:
        report(
            "results/{study}/report.html",
            category="{study}",
            subcategory="Page",
            labels={"page": "answer, tables and charts"},
            caption="../report/page.rst",
        ),
    log:
        "results/{study}/logs/write_report.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        runs=of_results("run_pairs"),
        settings=of_results("page_settings"),
        captions=of_results("captions"),
        command=lambda wildcards: CONFIG.command(wildcards.study),
        code=checked(code, "write_report"),
    shell:
        "python -m weakneg write_report --metrics {input.metrics} --tables {input.tables}"
        " --figures {input.figures} --settings {params.settings:q} --captions {params.captions:q}"
        " --command {params.command:q} --runs {params.runs} --sounds {input.sounds}"
        " --output {output} --code {params.code} 2> {log}"
