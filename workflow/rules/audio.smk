# From recordings to spectrograms, in shards: `build_features` joins them.


rule list_recordings:
    input:
        data_files,
    output:
        "results/{study}/audio/recordings.csv",
    log:
        "results/{study}/logs/list_recordings.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        settings=settings_of("list"),
        folder=data_folder,
        code=list_code,
    shell:
        "python -m weakneg list_recordings --settings {params.settings:q} --folder {params.folder:q}"
        " --output {output} --code {params.code} 2> {log}"


rule acquire_shard:
    input:
        published_lists,
    output:
        "results/{study}/audio/{split}/{shard}.csv",
    log:
        "results/{study}/logs/acquire_shard/{split}/{shard}.log",
    conda:
        "../../envs/weakneg.yaml"
    # Parameters make a job run again when they change; how politely a source is asked must not.
    resources:
        downloads=n_downloads,
        runtime=acquire_minutes,
        politeness=settings_of("politeness"),
    params:
        settings=settings_of("list"),
        listed=listed,
        data_folder=data_folder,
        source=settings_of("source"),
        shard_size=SHARD_SIZE,
        folder=sound_folder,
        audio_folder=audio_folder,
        code=acquire_code,
    shell:
        "python -m weakneg acquire_shard --settings {params.settings:q}"
        " --data-folder {params.data_folder:q} --source {params.source:q} --folder {params.folder:q}"
        " --split {wildcards.split} --shard {wildcards.shard}"
        " --shard-size {params.shard_size} --audio-folder {params.audio_folder:q}"
        " --politeness {resources.politeness:q} --output {output} --code {params.code} 2> {log}"


# How many recordings of each class could be had.
rule count_acquired:
    input:
        recordings="results/{study}/audio/recordings.csv",
        status=status_files,
    output:
        table="results/{study}/tables/acquired.csv",
        text="results/{study}/tables/acquired.md",
    log:
        "results/{study}/logs/count_acquired.log",
    conda:
        "../../envs/weakneg.yaml"
    params:
        title=lambda wildcards: study_of(wildcards).title,
        code=code_of("count_acquired"),
    shell:
        "python -m weakneg count_acquired --recordings {input.recordings} --status {input.status}"
        " --study {wildcards.study} --title {params.title:q} --table {output.table} --text {output.text}"
        " --code {params.code} 2> {log}"


rule compute_shard:
    input:
        "results/{study}/audio/{split}/{shard}.csv",
    output:
        "results/{study}/features/shards/{split}/{shard}.h5",
    log:
        "results/{study}/logs/compute_shard/{split}/{shard}.log",
    cache: SHARED
    conda:
        "../../envs/weakneg.yaml"
    threads: 1
    params:
        settings=settings_of("shard"),
        sound=sound_of_shard,
        code=code_of("compute_shard"),
    shell:
        "python -m weakneg compute_shard --settings {params.settings:q} --status {input}"
        " --output {output} --threads {threads} --code {params.code} 2> {log}"


rule draw_sound:
    input:
        recordings="results/{study}/audio/recordings.csv",
        train="results/{study}/features/train.h5",
        test="results/{study}/features/test.h5",
        problems="results/{study}/features/problems.csv",
    output:
        report(
            "results/{study}/figures/sound.png",
            category="{study}",
            caption="../report/sound.rst",
        ),
        expand(
            "results/{{study}}/figures/sound.{ext}",
            ext=[ext for ext in FORMATS if ext != "png"],
        ),
        table="results/{study}/tables/sound.csv",
    log:
        "results/{study}/logs/draw_sound.log",
    conda:
        "../../envs/weakneg.yaml"
    params:
        figures=lambda _, output: [file for file in output if file != output.table],
        settings=settings_of("report"),
        code=code_of("draw_sound"),
    shell:
        "python -m weakneg draw_sound --recordings {input.recordings} --problems {input.problems}"
        " --train-store {input.train} --test-store {input.test} --settings {params.settings:q}"
        " --table {output.table} --outputs {params.figures} --code {params.code} 2> {log}"
