# From a published data set to bags.

for dataset in datasets.names():
    files = results.published_files(dataset)
    if not files:
        continue

    rule:
        name:
            f"fetch_{dataset}"
        output:
            **{re.sub(r"\W", "_", file): f"resources/{dataset}/{file}" for file in files},
        log:
            f"resources/{dataset}/fetch.log",
        cache: SHARED and start.may_be_shared(CONFIG, dataset)
        localrule: True
        conda:
            "../../envs/weakneg.yaml"
        params:
            dataset=dataset,
            folder=subpath(output[0], ancestor=len(Path(files[0]).parts)),
            code=checked(results.fetch_code, dataset),
        shell:
            "python -m weakneg fetch_dataset --dataset {params.dataset} --folder {params.folder}"
            " --code {params.code} 2> {log}"


rule build_features:
    input:
        of_results("feature_inputs"),
    output:
        train="results/{study}/features/train.h5",
        test="results/{study}/features/test.h5",
        problems="results/{study}/features/problems.csv",
    log:
        "results/{study}/logs/build_features.log",
    conda:
        "../../envs/weakneg.yaml"
    params:
        settings=settings_of(stages.FeaturesSettings),
        folder=of_results("data_folder"),
        code=code_for(stages.FeaturesSettings),
    shell:
        "python -m weakneg build_features --settings {params.settings:q} --folder {params.folder:q}"
        " --inputs {input:q} --train-store {output.train} --test-store {output.test}"
        " --problems {output.problems} --code {params.code} 2> {log}"


# Images are put into bags for each class; each clip is a bag, so one list serves all classes.
rule draw_bags:
    input:
        train="results/{study}/features/train.h5",
        test="results/{study}/features/test.h5",
    output:
        train="results/{study}/bags/{class_slug}/train.csv",
        test="results/{study}/bags/{class_slug}/test.csv",
    log:
        "results/{study}/logs/draw_bags/{class_slug}.log",
    cache: SHARED
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        class_name=class_name,
        settings=settings_of(stages.ManifestSettings),
        code=code_for(stages.ManifestSettings),
    shell:
        "python -m weakneg draw_bags --class-name {params.class_name:q} --settings {params.settings:q}"
        " --train-store {input.train} --test-store {input.test}"
        " --train-manifest {output.train} --test-manifest {output.test}"
        " --code {params.code} 2> {log}"


rule list_clips:
    input:
        "results/{study}/features/{split}.h5",
    output:
        "results/{study}/bags/{split}.csv",
    log:
        "results/{study}/logs/list_clips/{split}.log",
    cache: SHARED
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        split=lambda wildcards: wildcards.split,
        code=checked(code, "list_clips"),
    shell:
        "python -m weakneg list_clips --store {input} --manifest {output}"
        " --code {params.code} 2> {log}"


# The clips of a class with labels that somebody corrected by listening; other classes keep theirs.
rule correct_clips:
    input:
        manifest="results/{study}/bags/{split}.csv",
        # What they say of the class is among the parameters.
        corrections=corrections_of,
    output:
        "results/{study}/bags/corrected/{class_slug}/{split}.csv",
    log:
        "results/{study}/logs/correct_clips/{class_slug}/{split}.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        class_name=class_name,
        settings=settings_of(stages.CorrectionSettings, "class_slug", "split"),
        code=code_for(stages.CorrectionSettings, "class_slug", "split"),
    shell:
        "python -m weakneg correct_clips --class-name {params.class_name:q}"
        " --settings {params.settings:q} --manifest {input.manifest}"
        " --corrections {input.corrections:q} --output {output} --code {params.code} 2> {log}"


rule list_classes:
    input:
        train="results/{study}/features/train.h5",
        test="results/{study}/features/test.h5",
    output:
        "results/{study}/tables/classes.csv",
    log:
        "results/{study}/logs/list_classes.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        settings=settings_of(stages.ClassesSettings),
        code=code_for(stages.ClassesSettings),
    shell:
        "python -m weakneg list_classes --train-store {input.train} --test-store {input.test}"
        " --settings {params.settings:q} --output {output}"
        " --code {params.code} 2> {log}"
