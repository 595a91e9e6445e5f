set encoding utf8
set size 1,0.94
set label 1 'Speedup over coupled' at screen 0.5, screen 0.965 center font ',15' textcolor '#202020'
set border 3 linecolor '#606060'
set tics nomirror out scale 0.6,0.3 textcolor '#303030'
set grid ytics back linetype 1 linecolor '#E4E4E4' linewidth 1
set key tmargin center horizontal Left reverse samplen 2.5 spacing 1.25 width 3
set rmargin 4
set bmargin 5
set xlabel 'model' textcolor '#202020'
set xrange [-0.6:2.6]
set xtics scale 0 ('qwen3-30b' 0, 'gpt-oss-120b' 1, 'deepseek-v3' 2)
set ylabel 'speedup (times)' textcolor '#202020'
set yrange [0:10]
set ytics ('0' 0, '2' 2, '4' 4, '6' 6, '8' 8, '10' 10)
set label 2 'modelled' at screen 0.5, screen 0.025 center font ',10' textcolor '#606060'
$series1 << END
-0.2 2.54
0.8 2.2
1.8 3.1
END
$series2 << END
0.2 3.67
2.2 8.5
END
$series3 << END
-0.2 2.1
1.8 3.5
END
plot $series1 using 1:2:(0.4) with boxes linecolor rgb '#0072B2' fillstyle solid 0.9 noborder title 'perseus', \
    $series2 using 1:2:(0.4) with boxes linecolor rgb '#D55E00' fillstyle solid 0.9 noborder title 'perseus-plus', \
    $series3 using 1:2 with points linecolor rgb '#FFFFFF' pointtype 7 pointsize 1.9 notitle, \
    $series3 using 1:2 with points linecolor rgb '#101010' linewidth 2 pointtype 6 pointsize 1.6 title 'perseus, reported'
