# From the scores of all runs to metrics, tables and figures.


rule collect_metrics:
    input:
        run_files("scores.parquet", "history.parquet", "timing.parquet", "run.json"),
    output:
        "results/{study}/metrics.csv",
    log:
        "results/{study}/logs/collect_metrics.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        runs=run_pairs,
        code=code_of("collect_metrics"),
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
        settings=settings_of("report"),
        code=code_of("write_tables"),
    shell:
        "python -m weakneg write_tables --metrics {input} --settings {params.settings:q}"
        " --folder {params.folder} --code {params.code} 2> {log}"


for figure in FIGURES:

    rule:
        name:
            f"draw_{figure}"
        input:
            run_files("history.parquet", "timing.parquet", "run.json")
            if figure in READING_RUNS
            else [],
            metrics="results/{study}/metrics.csv",
        output:
            report(
                f"results/{{study}}/figures/{figure}.png",
                category="{study}",
                caption=f"../report/{figure}.rst",
            ),
            expand(
                "results/{{study}}/figures/{figure}.{ext}",
                figure=figure,
                ext=[ext for ext in FORMATS if ext != "png"],
            ),
        log:
            f"results/{{study}}/logs/draw_{figure}.log",
        localrule: True
        conda:
            "../../envs/weakneg.yaml"
        params:
            figure=figure,
            runs=run_pairs if figure in READING_RUNS else [],
            settings=settings_of("report"),
            code=code_of("draw_figure", f"figures.{figure}"),
        shell:
            "python -m weakneg draw_figure --name {params.figure} --metrics {input.metrics}"
            " --runs {params.runs} --settings {params.settings:q} --outputs {output}"
            " --code {params.code} 2> {log}"
